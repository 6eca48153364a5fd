// Evaluator: candidate in, Evidence out; the one interface behind which devices, tables and
// programs sit.
#pragma once

#include "core/candidate.h"
#include "core/event.h"
#include "core/evidence.h"
#include "core/op.h"
#include "core/result.h"

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace coppice::evaluators {

struct EvaluationTask {
  AttemptId attempt;
  Candidate candidate;
  Fidelity fidelity = Fidelity::search;
  double best_log_cost = 0.0;     // of the best valid candidate so far; +inf when there is none:
                                  // lets a slow candidate be stopped early
  std::uint64_t secret_seed = 0;  // values are drawn from this; unknown to candidate code
};

// A compiled candidate, or the evidence that it can't be compiled.
struct Built {
  std::optional<Evidence> failed;
  std::shared_ptr<const void> artifact;  // owned by the evaluator's kind
  Nanoseconds compile{};
  bool cached = false;
};

// build() may be called from many threads; measure() from one thread per device. A candidate that
// fails is Evidence; an Error means that the evaluator itself can't go on (device lost, disk full).
class Evaluator {
 public:
  virtual ~Evaluator() = default;
  virtual int devices() const = 0;
  // Times all baselines of the suite and fixes the fastest plain one per workload. Called once per
  // run and machine before the first measure().
  virtual Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token stop) = 0;
  // Instead of freezing, when a run goes on: takes over what its first session froze.
  virtual Result<void> adopt_baselines(const std::vector<BaselineFrozen>& frozen,
                                       std::stop_token stop) {
    static_cast<void>(frozen);
    static_cast<void>(stop);
    return {};
  }
  virtual Built build(const EvaluationTask& task, std::stop_token stop) = 0;
  virtual Result<Evidence> measure(const EvaluationTask& task,
                                   const Built& built,
                                   int device,
                                   std::stop_token stop) = 0;
  // Device, driver, toolchain, isolation level, ceilings: goes into RunStarted.
  virtual Json environment() const = 0;
};

}  // namespace coppice::evaluators
