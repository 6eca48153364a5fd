// Evaluation as a look-up.
#include "evaluators/recorded_evaluator.h"

#include "core/pinned_math.h"

#include <cmath>
#include <utility>

namespace coppice::evaluators {
namespace {

class TableEvaluator final : public Evaluator {
 public:
  explicit TableEvaluator(std::shared_ptr<const RecordedTable> table) : table_(std::move(table)) {}

  int devices() const override { return 1; }

  Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token) override {
    return std::vector<BaselineFrozen>();
  }

  Built build(const EvaluationTask&, std::stop_token) override { return {}; }

  Result<Evidence> measure(const EvaluationTask& task,
                           const Built&,
                           int,
                           std::stop_token) override {
    const auto genome = table_->space().space.genome(task.candidate.axis_values);
    Evidence out = recorded_evidence(genome.ok() ? table_->find(*genome) : nullptr);
    out.attempt = task.attempt;
    out.candidate = task.candidate.id;
    out.fidelity = task.fidelity;
    out.precision = task.candidate.precision;
    return out;
  }

  Json environment() const override {
    return Json::object().set("device", "recorded table " + table_->name());
  }

 private:
  const std::shared_ptr<const RecordedTable> table_;
};

}  // namespace

Evidence recorded_evidence(const RecordedOutcome* outcome) {
  Evidence out;
  if (outcome == nullptr) {
    out.verdict.gate = Gate::resources;
    out.verdict.failure = FailureClass::plan_invalid;
    out.verdict.message = "the table has no such configuration";
    return out;
  }
  out.cost.compile = Nanoseconds(std::llround(outcome->compile_seconds * 1e9));
  out.cost.device = Nanoseconds(std::llround(outcome->run_seconds * 1e9));
  out.verdict.valid = outcome->valid;
  out.verdict.gate = outcome->valid ? Gate::evidence : outcome->gate;
  out.verdict.failure = outcome->failure;
  if (outcome->valid) {
    out.performance = Performance{};
    out.performance->log_cost = pinned::log(outcome->milliseconds);
    out.performance->log_noise = outcome->log_noise;
    WorkloadTiming row;
    row.workload = "recorded";
    row.median = Nanoseconds(std::llround(outcome->milliseconds * 1e6));
    out.performance->workloads.push_back(std::move(row));
  }
  return out;
}

std::unique_ptr<Evaluator> recorded_evaluator(std::shared_ptr<const RecordedTable> table) {
  return std::make_unique<TableEvaluator>(std::move(table));
}

}  // namespace coppice::evaluators
