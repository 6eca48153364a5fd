// Runs each twin like any other candidate and compares the verdict with what it should be.

#include "evaluators/twins.h"

#include <limits>

namespace coppice::evaluators {
namespace {

bool judged_rightly(const Twin& twin, const Verdict& verdict) {
  if (verdict.failure == FailureClass::infrastructure) {
    return false;
  }
  const bool correct = verdict.valid || verdict.gate >= Gate::timing_quality;
  if (twin.good) {
    return correct;
  }
  return !correct && (twin.expect_gate.empty() || twin.expect_gate == to_text(verdict.gate));
}

}  // namespace

Result<std::vector<TwinResult>> check_twins(Evaluator& evaluator,
                                            const std::vector<TwinCase>& twins,
                                            std::uint64_t secret_seed,
                                            std::stop_token stop) {
  std::vector<TwinResult> out;
  for (const TwinCase& item : twins) {
    EvaluationTask task;
    task.attempt = AttemptId{out.size() + 1};
    task.candidate = item.candidate;
    task.best_log_cost = std::numeric_limits<double>::infinity();
    task.secret_seed = secret_seed;
    const Built built = evaluator.build(task, stop);
    COPPICE_TRY(const Evidence evidence, evaluator.measure(task, built, 0, stop));
    TwinResult result;
    result.name = item.twin.name;
    result.good = item.twin.good;
    result.verdict = evidence.verdict;
    result.expected = item.twin.good                  ? "passes"
                      : item.twin.expect_gate.empty() ? "refused"
                                                      : "refused at " + item.twin.expect_gate;
    result.judged_rightly = judged_rightly(item.twin, evidence.verdict);
    out.push_back(std::move(result));
  }
  return out;
}

}  // namespace coppice::evaluators
