// `coppice replay`: does this engine decide as the log says; with --measure: do the claims hold
// here.
#include "cli/replay.h"

#include "cli/commands.h"
#include "cli/host_target.h"
#include "cli/interrupts.h"
#include "cli/make_evaluator.h"
#include "cli/measure_claims.h"
#include "cli/prompt_check.h"
#include "cli/shared_commands.h"
#include "cli/shared_reader.h"
#include "cli/tbb_executor.h"
#include "cli/words.h"

namespace coppice::cli {
namespace {

Result<int> replay_decisions(const RunReader& run, const Arguments& arguments, Console& console) {
  COPPICE_TRY(const auto threads, arguments.integer("--threads", 1, 1024));
  TbbExecutor executor(static_cast<int>(threads.value_or(0)));
  if (!decided_alike(run.material())) {
    return Error{ErrorCode::environment,
                 "run " + run.name() + " was decided by version " +
                     std::to_string(run.material().decision_version) +
                     (run.material().llm && !run.material().prompts ? " with older models" : "") +
                     "; this program decides as version " +
                     std::to_string(search::kDecisionVersion) +
                     ": take the release that made the run to replay it"};
  }
  COPPICE_TRY(search::Engine engine,
              search::Engine::create(engine_setup(run.material()), executor));
  COPPICE_TRY(const Replayed replayed, replay_log(run.log(), engine));
  COPPICE_TRY(const PromptCheck prompts, check_prompts(run));
  const bool same = replayed.same() && prompts.same == prompts.sent;
  if (arguments.has("--json")) {
    Json out = to_json(replayed);
    out.set("run", run.name()).set("decision_version", search::kDecisionVersion);
    out.set("prompts", prompts.sent).set("prompts_matched", prompts.same);
    console.answer(out.dump());
    return same ? 0 : 1;
  }
  console.answer(run.name() + ": " + std::to_string(replayed.matched) + " of " +
                 std::to_string(replayed.decisions) + " decisions match");
  if (prompts.sent > 0) {
    console.answer(std::to_string(prompts.same) + " of " + std::to_string(prompts.sent) +
                   " prompts are made again to the letter");
  }
  if (const auto& mismatch = replayed.first_mismatch) {
    console.answer(
        "first mismatch at event " + std::to_string(mismatch->seq.value) +
        "\n  recorded: " + (mismatch->recorded.empty() ? "nothing" : mismatch->recorded) +
        "\n  decided:  " + (mismatch->decided.empty() ? "nothing" : mismatch->decided));
  }
  return same ? 0 : 1;
}

Json claim_json(const ClaimResult& result) {
  Json out = Json::object();
  out.set("what", result.claim.what);
  out.set("candidate", result.claim.attempt->proposal.candidate.value);
  out.set("precision", result.claim.attempt->evidence->precision);
  out.set("verdict", to_text(result.verdict)).set("reason", result.reason);
  out.set("claimed", result.claimed);
  out.set("claimed_low", result.claimed_low).set("claimed_high", result.claimed_high);
  out.set("measured", result.measured ? Json(*result.measured) : Json());
  out.set("measured_low", result.measured_low).set("measured_high", result.measured_high);
  return out;
}

std::string claim_line(const RunReader& run, const ClaimResult& result) {
  std::string text = result.claim.what + " candidate " +
                     std::to_string(result.claim.attempt->proposal.candidate.value) + " (" +
                     run.label(*result.claim.attempt) +
                     "): " + std::string(to_text(result.verdict));
  text += "\n  claimed " + speed_text(result.claimed) + " (" + speed_text(result.claimed_low) +
          " to " + speed_text(result.claimed_high) + ")";
  if (result.measured) {
    text += ", measured " + speed_text(*result.measured) + " (" + speed_text(result.measured_low) +
            " to " + speed_text(result.measured_high) + ")";
  }
  return text + (result.reason.empty() ? "" : "\n  " + result.reason);
}

Result<int> replay_claims(const RunReader& run, const Arguments& arguments, Console& console) {
  const RunMaterial& material = run.material();
  COPPICE_TRY(const Target here,
              find_target(material.config.target, material.config.backend, Places::standard()));
  COPPICE_TRY(const auto evaluator, make_evaluator(material));
  const Interrupts interrupts;
  console.show_progress("timing the library baselines");
  const Result<std::vector<BaselineFrozen>> frozen = evaluator->freeze_baselines({});
  if (!frozen.ok()) {
    return frozen.error().within("freeze the baselines");
  }
  console.show_progress("measuring the claims again");
  COPPICE_TRY(const auto results, measure_claims(run, here, *evaluator, {}));
  console.clear_progress();
  bool refuted = false;
  for (const ClaimResult& result : results) {
    refuted = refuted || result.verdict == ClaimVerdict::does_not;
    if (!arguments.has("--json")) {
      console.answer(claim_line(run, result));
    }
  }
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("run", run.name());
    out.set("claims", Json::array_of(results, [](const ClaimResult& r) { return claim_json(r); }));
    console.answer(out.dump());
  } else if (results.empty()) {
    console.say("run " + run.name() + " claims nothing: no candidate was valid");
  }
  return refuted ? 1 : 0;
}

Result<int> replay_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const auto shared, shared_run_named(arguments));
  if (shared) {
    return replay_shared(*shared, arguments, console);
  }
  COPPICE_TRY(const RunReader run, RunReader::of(arguments));
  return arguments.has("--measure") ? replay_claims(run, arguments, console)
                                    : replay_decisions(run, arguments, console);
}

}  // namespace

Command replay_command() {
  Command command;
  command.name = "replay";
  command.summary = "check a run's decisions from its archive, or measure its claims again";
  command.example = "coppice replay last";
  command.positionals = {{"RUN", "name, its unique beginning, or last (default)", false}};
  command.options = {
      {"--measure", "", "compile and time the claimed candidates again", "", false},
      {"--threads", "N", "threads for the engine; never changes a decision", "cores", false}};
  command.body = replay_body;
  return command;
}

}  // namespace coppice::cli
