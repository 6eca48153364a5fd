// The table of helper processes: a new backend is one line in `kBackends`.

#include "evaluators/processes.h"

#include "evaluators/agent.h"
#include "evaluators/cpu/baseline_process.h"
#include "evaluators/cpu/candidate_process.h"
#include "evaluators/cpu/cpu_backend.h"
#include "evaluators/cpu/judge_process.h"
#include "evaluators/cuda/cuda_backend.h"
#include "evaluators/cuda/launch_once.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>
#include <string_view>

namespace coppice::evaluators {
namespace {

struct BackendLine {
  std::string_view name;
  std::unique_ptr<DeviceBackend> (*make)();
};
const std::vector<BackendLine>& backends() {
  static const std::vector<BackendLine> kBackends = {{"cpu", cpu::make_cpu_backend},
                                                     {"cuda", [] {
                                                        return cuda::make_cuda_backend();
                                                      }}};
  return kBackends;
}

int agent_main(int argc, char** argv) {
  std::string_view backend;
  for (int i = 2; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--backend") == 0) {
      backend = argv[i + 1];
    }
  }
  for (const BackendLine& line : backends()) {
    if (line.name == backend) {
      return run_agent(STDIN_FILENO, STDOUT_FILENO, line.make);
    }
  }
  return 2;
}

}  // namespace

std::optional<int> dispatch_internal(int argc, char** argv) {
  if (argc < 2) {
    return std::nullopt;
  }
  const std::string_view name = argv[1];
  constexpr int kSocket = 3;
  if (name == "agent") {
    return agent_main(argc, argv);
  }
  if (name == "judge") {
    return cpu::run_judge(kSocket);
  }
  if (name == "candidate") {
    return cpu::run_candidate_launcher(kSocket);
  }
  if (name == "baseline") {
    return cpu::run_baseline(kSocket);
  }
  if (name == "launch-once" && argc == 3) {
    return cuda::run_launch_once(argv[2]);
  }
  return std::nullopt;
}

Result<std::string> own_executable() {
  std::array<char, PATH_MAX> path{};
  const ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (n <= 0) {
    return Error{ErrorCode::environment, fmt::format("/proc/self/exe: {}", std::strerror(errno))};
  }
  return std::string(path.data(), static_cast<std::size_t>(n));
}

}  // namespace coppice::evaluators
