// How busy a device stays while a slow model is asked: evaluations of one second that are only
// waited for, a model that takes five seconds for each answer, the real run loop between them.
// usage: bench_llm_overlap [attempts, default 60]
#include "cli/run_session.h"
#include "core/executor.h"
#include "tests/cli/fake_evaluator.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>

using namespace coppice;

namespace {

constexpr double kEvaluation = 1.0;  // seconds
constexpr const char* kAnswer =
    R"(cat > /dev/null; sleep 5; printf '{\"text\": \"IDEA: number %d\\\\n```cpp\\\\n// %d\\\\nint x;\\\\n```\"}' $$ $$)";

std::string config_of(const std::string& attempts) {
  return R"({"schema": 1, "op": ")" COPPICE_SOURCE_DIR
         R"(/experiments/ops/gqa_paged_decode", "suite": "quickstart", "lanes": 2, "finalists": 0, )"
         R"("budget": {"attempts": )" +
         attempts +
         R"(}, "llm": {"schema": 1, "slots": 2, "share": 0.4, "budget": {"requests": 200}, "models": [)"
         R"({"name": "slow", "provider": "command", "model": "s", "command": ["/bin/sh", "-c", ")" +
         kAnswer + R"("], "price": {"in": 0, "out": 0}}]}})";
}

Result<int> measure(const std::string& attempts) {
  COPPICE_TRY(const Json json, Json::parse(config_of(attempts), "bench"));
  COPPICE_TRY(const cli::RunConfig config, cli::run_config(json.reader("bench")));
  COPPICE_TRY(const cli::RunMaterial material, cli::gather(config, cli::Places{{}}));
  const std::string folder = std::filesystem::temp_directory_path() / "coppice_llm_overlap";
  std::filesystem::remove_all(folder);
  COPPICE_TRY(const auto store, archive::RunStore::open(folder, archive::RunStore::Access::create));
  std::mutex mutex;
  std::vector<std::chrono::steady_clock::time_point> begins;
  tests::FakeOptions options;
  options.measure_takes = std::chrono::microseconds(static_cast<std::int64_t>(kEvaluation * 1e6));
  options.before_measure = [&] {
    const std::lock_guard lock(mutex);
    begins.push_back(std::chrono::steady_clock::now());
  };
  tests::FakeEvaluator evaluator(options);
  SteadyClock clock;
  InlineExecutor executor;
  cli::Console console(stdout, stderr, {});
  const cli::SessionWorld world{evaluator, clock, executor, console, [] { return 0; }, ""};
  COPPICE_TRY(const auto result, cli::start_run(store, "overlap", material, {}, world));
  const double span = std::chrono::duration<double>(begins.back() - begins.front()).count();
  const auto count = static_cast<double>(begins.size() - 1);
  std::printf("%s: %.0f evaluations of %.1f s begun over %.1f s: device busy %.1f %%\n",
              result.run.c_str(),
              count,
              kEvaluation,
              span,
              100.0 * count * kEvaluation / span);
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto done = measure(argc > 1 ? argv[1] : "60");
  if (!done.ok()) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}
