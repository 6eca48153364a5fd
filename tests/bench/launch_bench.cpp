// What a launch costs when the kernel does nothing, by number of threads: bench_launch [launches].

#include "evaluators/cpu/helpers.h"
#include "evaluators/processes.h"
#include "evaluators/timing_stats.h"

#include <sched.h>

#include <cstdio>
#include <cstdlib>

using namespace coppice;
using namespace coppice::evaluators;
using namespace coppice::evaluators::cpu;

namespace {

Result<void> measure(CandidateLauncher& launcher, int threads, int launches) {
  COPPICE_TRY(const SharedMemory nothing, SharedMemory::create("nothing", kPageBytes));
  CandidateStart start;
  start.threads = threads;
  Launch outcome;
  COPPICE_TRY(Runner runner,
              launcher.launch(start, {nothing.fd(), nothing.fd(), -1, nothing.fd()}, outcome));
  std::vector<double> times;
  std::vector<double> waits;
  double whole = 0.0;
  for (int i = 0; i < launches; ++i) {
    const Nanoseconds before = steady_now();
    const Launch launch = runner.launch(0, 0, std::chrono::seconds(5));
    whole += to_seconds(steady_now() - before);
    if (!launch.ok()) {
      return Error{ErrorCode::environment, launch.message};
    }
    times.push_back(to_seconds(launch.elapsed) * 1e6);
    waits.push_back(to_seconds(launch.waited) * 1e6);
  }
  const Spread t = spread(times);
  const Spread w = spread(waits);
  std::printf("| %d | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.0f |\n",
              threads,
              t.min,
              t.p10,
              t.median,
              t.p90,
              w.median,
              w.p90,
              whole / launches * 1e6);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto status = dispatch_internal(argc, argv)) {
    return *status;
  }
  const int launches = argc > 1 ? std::atoi(argv[1]) : 1000;
  cpu_set_t set;
  const int cores = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  auto launcher = CandidateLauncher::start();
  if (!launcher.ok()) {
    std::fprintf(stderr, "%s\n", launcher.error().message.c_str());
    return 3;
  }
  std::printf("| threads | min us | p10 | median | p90 | waited: median | p90 | with arming |\n");
  std::printf("|---|---|---|---|---|---|---|---|\n");
  for (int threads = 1; threads <= cores; threads *= 2) {
    if (const auto done = measure(*launcher, threads, launches); !done.ok()) {
      std::fprintf(stderr, "%d threads: %s\n", threads, done.error().message.c_str());
      return 3;
    }
  }
  return 0;
}
