// Hardware counters of one candidate: after all timing, in a process of its own that is ended
// afterwards, so that no profiler is ever near a timed launch.
#include "evaluators/cuda/lane.h"

#include <chrono>

namespace coppice::evaluators::cuda {
namespace {

constexpr Nanoseconds kCountDeadline = std::chrono::seconds(20);
constexpr double kMostCountSeconds = 30;  // then the other workloads are left out

}  // namespace

// Locked down like any other. Where the driver gives counters to administrators only, which nobody
// is in a user namespace, once more without namespaces; system calls are then still forbidden
// before the candidate's first launch.
Result<CandidateClient> CudaLane::profiled_candidate(const LaneJob& job,
                                                     HardwareCounters& counters) {
  Result<CandidateClient> locked = profiled_candidate(job, candidate_setup_, counters);
  if (locked.ok() || !candidate_setup_.tighten) {
    return locked;
  }
  CandidateSetup setup = candidate_setup_;
  setup.namespaces = false;
  return profiled_candidate(job, setup, counters);
}

Result<CandidateClient> CudaLane::profiled_candidate(const LaneJob& job,
                                                     const CandidateSetup& setup,
                                                     HardwareCounters& counters) {
  COPPICE_TRY(CandidateClient process, CandidateClient::start(setup, std::chrono::seconds(60)));
  for (const PlanToLoad& plan : job.plans) {
    COPPICE_TRY([[maybe_unused]] const double attached,
                process.attach(plan.workload, regions_[plan.workload]));
  }
  COPPICE_TRY(const IpcHandle handle, judge_->workspace(workspace_slot_, workspace_bytes(job)));
  COPPICE_TRY_VOID(process.workspace(handle));
  COPPICE_TRY(counters.source, process.open_profiler(trusted_cubin_));
  COPPICE_TRY(const CandidateClient::Loaded loaded, process.load(job.binaries, job.plans));
  if (loaded.failure.failure != FailureClass::none) {
    return Error{ErrorCode::environment, loaded.failure.message};
  }
  COPPICE_TRY([[maybe_unused]] const std::string level, process.tighten());
  return process;
}

// Counters whose launches gave other results than the timed ones would describe something else.
Result<void> CudaLane::check_profiled(const LaneJob& job, std::uint64_t workload, RunItem item) {
  LaneResult scratch;
  scratch.verdict.gate = Gate::paired_baseline;
  Block block;
  block.items = {item};
  COPPICE_TRY(bool passed, check_block(job, workload, block, scratch));
  if (passed) {
    COPPICE_TRY(passed, verify_state(job, workload, scratch));
  }
  return passed ? Result<void>()
                : Error{ErrorCode::environment,
                        "its results under the profiler are not right: " + scratch.verdict.message};
}

Result<void> CudaLane::count_all(const LaneJob& job, HardwareCounters& counters) {
  const auto begin = std::chrono::steady_clock::now();
  COPPICE_TRY(CandidateClient process, profiled_candidate(job, counters));
  for (const PlanToLoad& plan : job.plans) {
    if (workloads_[plan.workload].hidden) {
      continue;
    }
    if (seconds_since(begin) > kMostCountSeconds) {
      return Error{ErrorCode::environment,
                   "left out after " + std::to_string(counters.workloads.size()) +
                       " workloads: reading took more than 30 s"};
    }
    COPPICE_TRY_VOID(poison_workspace(job));
    const RunItem item{0, 0};
    COPPICE_TRY(WorkloadCounters one, process.count(plan.workload, item, kCountDeadline));
    COPPICE_TRY_VOID(check_profiled(job, plan.workload, item));
    one.workload = workloads_[plan.workload].workload->name;
    counters.workloads.push_back(std::move(one));
  }
  return {};
}

HardwareCounters CudaLane::count(const LaneJob& job) {
  HardwareCounters out;
  const Result<void> counted = count_all(job, out);
  if (!counted.ok()) {
    out.unavailable = counted.error().message;
  }
  if (out.workloads.empty()) {
    out.source.clear();
  }
  return out;
}

}  // namespace coppice::evaluators::cuda
