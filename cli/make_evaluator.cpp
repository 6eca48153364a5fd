// Opens the device agents that a configuration asks for.
#include "cli/make_evaluator.h"

#include "cli/table_task.h"
#include "evaluators/agent_evaluator.h"
#include "evaluators/recorded_evaluator.h"

#include <cstdlib>
#include <filesystem>

namespace coppice::cli {

std::string cache_folder() {
  std::filesystem::path folder;
  if (const char* own = std::getenv("COPPICE_CACHE"); own != nullptr && *own != '\0') {
    folder = own;
  } else if (const char* shared = std::getenv("XDG_CACHE_HOME");
             shared != nullptr && *shared != '\0') {
    folder = std::filesystem::path(shared) / "coppice";
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    folder = std::filesystem::path(home) / ".cache" / "coppice";
  }
  std::error_code error;
  if (!folder.empty()) {
    std::filesystem::create_directories(folder, error);
  }
  return error ? std::string() : folder.string();
}

// What the compiler is told: the table's `architecture` ("sm_90a", with the instructions that only
// that chip has) before its name ("sm_90").
std::string architecture_of(const Target& target) {
  const auto fact = target.facts.find("architecture");
  const auto* text = fact == target.facts.end() ? nullptr : std::get_if<std::string>(&fact->second);
  return text != nullptr ? *text : target.name;
}

namespace {

// How many devices the agents' machine has.
Result<int> count_devices(const RunConfig& config) {
  if (config.backend != "cuda") {
    return 1;
  }
  COPPICE_TRY(const Json probed,
              evaluators::probe_backend(config.backend, config.launcher, std::string()));
  const auto device = probed.reader("probe").find("device");
  if (!device) {
    return Error{ErrorCode::environment, "devices: all: there is no CUDA device"};
  }
  COPPICE_TRY(const std::int64_t count, device->integer_or("devices", 1));
  return static_cast<int>(count);
}

// Where the run's language models have their keys.
std::vector<std::string> secret_variables(const RunMaterial& material) {
  std::vector<std::string> out;
  for (const LlmModel& model : material.llm ? material.llm->models : std::vector<LlmModel>()) {
    out.push_back(model.http.key_env);
    out.insert(out.end(), model.secret_env.begin(), model.secret_env.end());
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<evaluators::Evaluator>> make_evaluator(const RunMaterial& material,
                                                              bool thorough) {
  if (material.is_table()) {
    COPPICE_TRY(auto table, table_of(material));
    return evaluators::recorded_evaluator(std::move(table));
  }
  evaluators::AgentConfig config;
  config.backend = material.config.backend;
  config.launcher = material.config.launcher;
  config.cache_folder = cache_folder();
  config.op = material.op;
  config.suite = material.config.suite;
  config.target = material.target;
  config.devices = material.config.devices;
  if (config.devices == kAllDevices) {
    COPPICE_TRY(config.devices, count_devices(material.config));
  }
  config.thorough = thorough;
  config.lane_threads = material.config.lane_threads;
  config.isolation = material.config.isolation;
  config.pause_builds = config.backend == "cpu" && evaluators::builds_disturb_timing();
  config.hidden_variables = secret_variables(material);
  COPPICE_TRY(auto toolchain,
              evaluators::open_toolchain(config.backend,
                                         config.cache_folder,
                                         architecture_of(material.target),
                                         config.hidden_variables));
  return evaluators::open_agents(std::move(config), std::move(toolchain), {});
}

}  // namespace coppice::cli
