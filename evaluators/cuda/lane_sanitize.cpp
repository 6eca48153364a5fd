// The memory check at promotion: the small workloads once each, alone in a program that a tool
// watches.
#include "evaluators/cuda/lane.h"
#include "evaluators/cuda/sanitizer.h"

#include <algorithm>
#include <tuple>

namespace coppice::evaluators::cuda {
namespace {

// Tools make a kernel ten to a hundred times slower and keep a shadow of its memory.
constexpr std::uint64_t kMostWatchedBytes = 256ull << 20;  // where there is no small workload
constexpr std::uint64_t kSmallBytes = 32ull << 20, kAllSmallBytes = 96ull << 20;

std::uint64_t bytes_of(const LaneWorkload& workload) {
  std::uint64_t out = 0;
  for (const TensorInfo& tensor : workload.tensors) {
    out += tensor.bytes;
  }
  return out;
}

}  // namespace

// Hidden workloads are the small ones with odd sizes; without any, the smallest of all.
std::vector<const PlanToLoad*> CudaLane::watched_plans(const LaneJob& job) const {
  std::vector<const PlanToLoad*> all, out;
  for (const PlanToLoad& plan : job.plans) {
    all.push_back(&plan);
  }
  const auto rank = [&](const PlanToLoad* plan) {
    const LaneWorkload& w = workloads_[plan->workload];
    return std::make_tuple(!w.hidden, bytes_of(w));
  };
  std::ranges::stable_sort(all, {}, rank);
  std::uint64_t sum = 0;
  for (const PlanToLoad* plan : all) {
    const LaneWorkload& w = workloads_[plan->workload];
    const std::uint64_t bytes = bytes_of(w);
    const bool small = w.hidden && bytes <= kSmallBytes && sum + bytes <= kAllSmallBytes;
    if (small || (out.empty() && bytes <= kMostWatchedBytes)) {
      out.push_back(plan);
      sum += bytes;
    }
  }
  return out;
}

Result<LaunchOnce> CudaLane::alone(const LaneJob& job, const PlanToLoad& plan) {
  const LaneWorkload& w = workloads_[plan.workload];
  LaunchOnce out;
  out.workload = w.workload->name;
  out.binary = job.binaries[plan.binary];
  out.plan = plan.plan;
  for (const TensorInfo& tensor : w.tensors) {
    LaunchOnceTensor one;
    one.name = tensor.name;
    one.bytes = tensor.bytes;
    one.output = tensor.role == TensorRole::output;
    if (tensor.role == TensorRole::value) {
      COPPICE_TRY(one.content, judge_->read(plan.workload, 0, tensor.name, false));
    } else if (tensor.role == TensorRole::structure) {
      const auto found = w.structure.tensors.find(tensor.name);
      one.content = found == w.structure.tensors.end() ? std::string() : found->second;
    }
    out.tensors.push_back(std::move(one));
  }
  return out;
}

Result<MemoryCheck> CudaLane::watch(const LaneJob& job) {
  const std::vector<const PlanToLoad*> plans = watched_plans(job);
  if (plans.empty()) {
    return Error{ErrorCode::environment, "no workload is small enough to be watched"};
  }
  LaunchJob launches;
  launches.device = options_.device;
  for (const PlanToLoad* plan : plans) {
    COPPICE_TRY(LaunchOnce one, alone(job, *plan));
    launches.launches.push_back(std::move(one));
  }
  return sanitize(launches, {});
}

void CudaLane::check_memory(const LaneJob& job, LaneResult& out) {
  Result<MemoryCheck> watched = watch(job);
  MemoryCheck check;
  if (watched.ok()) {
    check = std::move(*watched);
  } else {
    check.unavailable = watched.error().message;
  }
  if (!check.finding.empty()) {
    out.verdict = Verdict{false, Gate::memory_safety, FailureClass::memory_unsafe, check.finding};
  }
  out.memory_check = std::move(check);
}

}  // namespace coppice::evaluators::cuda
