// Freezing opponents: a kernel of the operation's own, or a library behind Python.
#include "evaluators/cuda/lane.h"

#include <algorithm>

namespace coppice::evaluators::cuda {
namespace {

double median_microseconds(std::vector<float> times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return static_cast<double>(*middle);
}

constexpr int kOpponentRounds = 6;

}  // namespace

Result<LaneResult> CudaLane::freeze(const LaneJob& baseline) {
  baseline_.reset();
  baseline_us_.clear();
  opponent_outputs_.clear();
  workspace_slot_ = 1;  // kept for as long as the baseline runs
  Result<LaneResult> evaluated = evaluate(baseline);
  workspace_slot_ = 0;
  COPPICE_TRY(LaneResult out, std::move(evaluated));
  if (!out.verdict.valid) {
    return out;
  }
  for (const LaneTiming& timing : out.timings) {
    baseline_us_[timing.workload] = median_microseconds(timing.candidate);
  }
  baseline_ = std::make_unique<CandidateClient>(std::move(*candidate_));
  candidate_.reset();
  return out;
}

Result<LaneResult> CudaLane::freeze_opponent(OpponentSetup setup, const PrecisionClass* precision) {
  baseline_.reset();
  baseline_us_.clear();
  opponent_outputs_.clear();
  setup.device = options_.device;
  setup.constants = op_.constants;
  for (std::uint64_t w = 0; w < workloads_.size(); ++w) {
    if (!workloads_[w].hidden) {
      setup.workloads.push_back(
          {w, workloads_[w].layout, workloads_[w].workload->dims, regions_[w]});
    }
  }
  COPPICE_TRY(std::unique_ptr<OpponentClient> client,
              OpponentClient::start(setup, std::chrono::minutes(5)));
  opponent_outputs_ = client->outputs();
  opponent_details_ = client->details();
  LaneJob job;
  job.precision = precision;
  LaneResult out;
  bool passed = true;
  for (const OpponentWorkload& w : setup.workloads) {
    LaneTiming timing;
    timing.workload = w.index;
    for (std::uint64_t round = 0; passed && round < kOpponentRounds; ++round) {
      Block block;
      block.candidate = false;
      block.items = order(w.index, round, true);
      block.options.flush_bytes = flush_bytes();
      block.options.warm_up = 1;
      COPPICE_TRY(passed, run_block(*client, job, w.index, block, timing.candidate, out));
    }
    if (!passed) {
      opponent_outputs_.clear();
      return out;
    }
    baseline_us_[w.index] = median_microseconds(timing.candidate);
    timing.baseline = timing.candidate;
    out.timings.push_back(std::move(timing));
  }
  out.verdict.valid = true;
  baseline_ = std::move(client);
  return out;
}

}  // namespace coppice::evaluators::cuda
