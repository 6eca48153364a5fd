// Turns attempts into rows.
#include "cli/run_table.h"

#include "core/pinned_math.h"

#include <algorithm>
#include <map>

namespace coppice::cli {
namespace {

double run_milliseconds(const Performance& performance) {
  if (performance.workloads.empty()) {
    return pinned::exp(performance.log_cost);
  }
  double sum = 0.0;
  for (const WorkloadTiming& row : performance.workloads) {
    sum += pinned::log(std::max(to_seconds(row.median) * 1e3, 1e-9));
  }
  return pinned::exp(sum / static_cast<double>(performance.workloads.size()));
}

evaluators::RecordedOutcome outcome_of(const Evidence& evidence) {
  evaluators::RecordedOutcome out;
  out.compile_seconds = to_seconds(evidence.cost.compile);
  out.run_seconds = to_seconds(evidence.cost.device);
  out.valid = evidence.verdict.valid && evidence.performance.has_value();
  out.gate = evidence.verdict.gate;
  out.failure = evidence.verdict.failure;
  if (out.valid) {
    out.milliseconds = run_milliseconds(*evidence.performance);
    out.log_noise = evidence.performance->log_noise;
  }
  return out;
}

}  // namespace

Result<evaluators::RecordedTable> run_table(const RunReader& run, std::string template_name) {
  if (template_name.empty() && run.best() != nullptr) {
    template_name = run.best()->proposal.spec.template_name;
  }
  const auto& spaces = run.material().templates.spaces;
  const auto space = std::ranges::find(spaces, template_name, &TemplateSpace::name);
  if (space == spaces.end()) {
    return Error{ErrorCode::missing,
                 "run " + run.name() + " has no template \"" + template_name + "\""};
  }
  std::map<Genome, evaluators::RecordedOutcome> rows;
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    const CandidateSpec& spec = attempt.proposal.spec;
    if (attempt.proposal.fidelity == Fidelity::search && attempt.evidence &&
        spec.template_name == template_name && spec.genome.levels.size() == space->space.size() &&
        attempt.evidence->verdict.failure != FailureClass::infrastructure) {
      rows.emplace(spec.genome, outcome_of(*attempt.evidence));
    }
  }
  std::vector<Genome> genomes;
  std::vector<evaluators::RecordedOutcome> outcomes;
  for (const auto& [genome, outcome] : rows) {
    genomes.push_back(genome);
    outcomes.push_back(outcome);
  }
  std::vector<Axis> axes = space->space.axes();
  for (Axis& axis : axes) {
    axis.when.reset();  // the rows say which combinations there are
  }
  auto table =
      evaluators::RecordedTable::create(template_name + " on " + run.material().target.name,
                                        std::move(axes),
                                        std::move(genomes),
                                        std::move(outcomes));
  return table.ok() ? std::move(table) : table.error().within("run " + run.name());
}

}  // namespace coppice::cli
