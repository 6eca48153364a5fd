// The device's reference against the fp64 one on the host: candidates are judged by the first, the
// contract means the second.
#include "evaluators/compare.h"
#include "evaluators/cuda/evidence.h"
#include "evaluators/cuda/lane.h"
#include "evaluators/cuda/layout.h"

#include <algorithm>
#include <thread>

namespace coppice::evaluators::cuda {
namespace {

constexpr std::uint64_t kMostHostBytes = 64 << 20;

// The cheapest first, so that the limit on time leaves the dearest out.
std::vector<std::uint64_t> by_bytes(const std::vector<LaneWorkload>& workloads) {
  std::vector<std::uint64_t> out(workloads.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = i;
  }
  std::ranges::stable_sort(
      out, {}, [&](std::uint64_t w) { return workloads[w].layout.set_stride; });
  return out;
}

}  // namespace

Result<void> CudaLane::compare_references(std::uint64_t workload,
                                          std::uint64_t set,
                                          const PrecisionClass& precision,
                                          ReferenceAgreement& out) {
  const LaneWorkload& w = workloads_[workload];
  HostReference::Inputs inputs = w.structure.tensors;
  for (const TensorInfo& tensor : w.tensors) {
    if (tensor.role == TensorRole::value) {
      COPPICE_TRY(inputs[tensor.name], judge_->read(workload, set, tensor.name, false));
    }
  }
  COPPICE_TRY(const auto wanted, host_->reference(*w.workload, w.tensors, inputs));
  const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::size_t nth = 0;
  for (const TensorInfo& tensor : w.tensors) {
    if (tensor.role != TensorRole::output) {
      continue;
    }
    COPPICE_TRY(const std::string found, judge_->read(workload, set, tensor.name, true));
    const OutputView view{tensor.name,
                          expected_type(tensor.dtype),
                          tensor.shape,
                          found.data(),
                          wanted[nth++].data(),
                          nullptr};
    const Comparison compared = compare_output(view, tolerance_of(precision, tensor.name), threads);
    if (out.compared == 0 || compared.error > out.worst) {
      out.worst = compared.error;
      out.where = w.workload->name + " with values '" + w.cases[set]->name +
                  "': " + (compared.ok() ? tensor.name : compared.message);
    }
    ++out.compared;
  }
  return {};
}

Result<ReferenceAgreement> CudaLane::compare_references(const PrecisionClass& precision,
                                                        ReferenceEffort effort) {
  ReferenceAgreement out;
  const auto begin = std::chrono::steady_clock::now();
  for (const std::uint64_t workload : by_bytes(workloads_)) {
    const LaneWorkload& w = workloads_[workload];
    const bool small = w.layout.set_stride <= kMostHostBytes &&
                       workload_cost(op_, suite_, w).flops <= effort.flops;
    if (!small || seconds_since(begin) > effort.seconds) {
      ++out.left_out;
      continue;
    }
    ++out.workloads;
    // Of the timed sets, which are drawn alike, one is enough.
    for (std::uint64_t set = w.timed_sets - 1;
         set < w.cases.size() && seconds_since(begin) <= effort.seconds;
         ++set) {
      COPPICE_TRY_VOID(compare_references(workload, set, precision, out));
    }
  }
  out.seconds = seconds_since(begin);
  return out;
}

Json to_json(const ReferenceAgreement& agreement) {
  return Json::object()
      .set("workloads", agreement.workloads)
      .set("left_out", agreement.left_out)
      .set("outputs", agreement.compared)
      .set("worst_share", agreement.worst)
      .set("where", agreement.where)
      .set("seconds", agreement.seconds);
}

}  // namespace coppice::evaluators::cuda
