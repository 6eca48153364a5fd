// `coppice show`: a run, or one of its candidates with all its evidence.
#include "cli/commands.h"
#include "cli/device_evidence.h"
#include "cli/model_fit.h"
#include "cli/opponents.h"
#include "cli/run_answer.h"
#include "cli/run_speed.h"
#include "cli/shared_commands.h"
#include "cli/shared_reader.h"
#include "cli/words.h"

#include <fmt/format.h>

namespace coppice::cli {
namespace {

std::string attempt_line(const RunReader& run, const archive::Attempt& attempt) {
  std::string text = fmt::format("attempt {} ({}, {})",
                                 attempt.proposal.attempt.value,
                                 to_text(attempt.proposal.fidelity),
                                 attempt.proposal.mutator);
  if (!attempt.evidence) {
    return text + (attempt.lost ? ": lost in an interruption" : ": in flight");
  }
  const Verdict& verdict = attempt.evidence->verdict;
  if (!verdict.valid) {
    return text + fmt::format(": refused at {}: {}: {}",
                              to_text(verdict.gate),
                              to_text(verdict.failure),
                              verdict.message);
  }
  if (attempt.speedup()) {
    const Performance& performance = *attempt.evidence->performance;
    return text + fmt::format(": {} ({} to {}) against {}",
                              speed_text(performance.speedup),
                              speed_text(performance.speedup_low),
                              speed_text(performance.speedup_high),
                              performance.baseline);
  }
  return text + ": " + cost_text(attempt.log_cost().value_or(0.0), run.against_baseline());
}

std::string candidate_text(const RunReader& run, const archive::Attempt& shown) {
  const Proposed& proposal = shown.proposal;
  std::string text = fmt::format("candidate {}: {}\n", proposal.candidate.value, run.label(shown));
  text += fmt::format("  node {}, by {}", proposal.node.value, proposal.mutator);
  for (const CandidateId parent : proposal.parents) {
    text += fmt::format(", from candidate {}", parent.value);
  }
  text += proposal.why.empty() ? "\n" : "\n  why: " + proposal.why + "\n";
  if (proposal.prediction && proposal.prediction->spread > 0.0) {
    text += fmt::format("  predicted log cost {:.3f} +- {:.3f}, valid with {:.0f} %\n",
                        proposal.prediction->log_cost,
                        proposal.prediction->spread,
                        100.0 * proposal.prediction->p_valid);
  }
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    if (attempt.proposal.candidate == proposal.candidate) {
      text += "  " + attempt_line(run, attempt) + "\n";
    }
  }
  if (shown.valid() && shown.evidence->performance) {
    Table table({"  workload", "median", "baseline", "speed-up", "floor"});
    for (const WorkloadTiming& row : shown.evidence->performance->workloads) {
      table.add({"  " + row.workload,
                 time_text(row.median),
                 run.against_baseline() ? time_text(row.baseline_median) : "-",
                 run.against_baseline() ? speed_text(row.speedup) : "-",
                 row.floor.count() > 0 ? time_text(row.floor) : "-"});
    }
    text += table.text();
  }
  return text + device_evidence_text(run.fold(), proposal.candidate, "  ");
}

Result<Json> candidate_json(const RunReader& run, const archive::Attempt& shown) {
  Json out = Json::object();
  out.set("schema", 1).set("run", run.name());
  out.set("candidate", shown.proposal.candidate.value).set("label", run.label(shown));
  Json attempts = Json::array();
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    if (attempt.proposal.candidate != shown.proposal.candidate) {
      continue;
    }
    Json item = Json::object();
    item.set("attempt", attempt.proposal.attempt.value);
    item.set("fidelity", to_text(attempt.proposal.fidelity));
    item.set("mutator", attempt.proposal.mutator).set("why", attempt.proposal.why);
    if (attempt.evidence) {
      COPPICE_TRY(const Evidence evidence, run.evidence(attempt));
      item.set("evidence", to_json(evidence));
    }
    attempts.push(std::move(item));
  }
  out.set("attempts", std::move(attempts));
  return out;
}

std::string run_text(const RunReader& run, const std::vector<Against>& against) {
  const RunMaterial& material = run.material();
  std::string text = run_summary_text(run, against);
  text += fmt::format("op {}, suite {}, target {}, strategy {}, seed {}, {} session{}\n",
                      material.op.name,
                      material.config.suite,
                      material.target.name,
                      search::to_text(material.config.search.strategy),
                      material.config.seed,
                      run.fold().sessions(),
                      run.fold().sessions() == 1 ? "" : "s");
  text += text_of(run_speed(run.fold()));
  for (const auto& [rejection, count] : run.fold().rejections()) {
    text += fmt::format(
        "refused: {} at {}: {}\n", to_text(rejection.failure), to_text(rejection.gate), count);
  }
  Table table({"template", "attempts", "valid"});
  for (const TemplateSpace& space : material.templates.spaces) {
    std::int64_t attempts = 0;
    std::int64_t valid = 0;
    for (const archive::Attempt& attempt : run.fold().attempts()) {
      const bool here = attempt.proposal.spec.template_name == space.name &&
                        attempt.proposal.fidelity == Fidelity::search;
      attempts += here ? 1 : 0;
      valid += here && attempt.valid() ? 1 : 0;
    }
    table.add({space.name, std::to_string(attempts), std::to_string(valid)});
  }
  text += table.text();
  const std::string opponents = opponents_text(run);
  return opponents.empty() ? text : text + "frozen at the start:\n" + opponents;
}

Result<int> show_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const auto shared, shared_run_named(arguments));
  if (shared) {
    return show_shared(*shared, arguments, console);
  }
  COPPICE_TRY(const RunReader run, RunReader::of(arguments));
  if (arguments.has("--model")) {
    if (arguments.has("CANDIDATE")) {
      return Error{ErrorCode::usage, "--model: tells of a whole run, not of a candidate"};
    }
    const ModelFit fit = model_fit(run.fold());
    console.answer(arguments.has("--json")
                       ? to_json(fit).set("schema", 1).set("run", run.name()).dump()
                       : text_of(fit));
    return 0;
  }
  if (arguments.has("CANDIDATE")) {
    COPPICE_TRY(const archive::Attempt* shown, run.named(arguments.text("CANDIDATE")));
    if (arguments.has("--json")) {
      COPPICE_TRY(const Json json, candidate_json(run, *shown));
      console.answer(json.dump());
    } else {
      console.answer(candidate_text(run, *shown));
    }
    return 0;
  }
  COPPICE_TRY(const auto against, archive::read_comparison(run.log()));
  if (arguments.has("--json")) {
    console.answer(run_answer(run, against).set("opponents", opponents_json(run)).dump());
  } else {
    console.answer(run_text(run, against));
  }
  return 0;
}

}  // namespace

Command show_command() {
  Command command;
  command.name = "show";
  command.summary = "a run, or one candidate with its evidence";
  command.example = "coppice show last best";
  command.positionals = {{"RUN", "name, its unique beginning, or last (default)", false},
                         {"CANDIDATE", "number of a candidate, or best", false}};
  command.options = {{"--model",
                      "",
                      "how good the predictions were: coverage, rank correlation, gain by mutator",
                      "",
                      false}};
  command.body = show_body;
  return command;
}

}  // namespace coppice::cli
