// `coppice best`: the run's answer.
#include "cli/commands.h"
#include "cli/run_answer.h"
#include "cli/shared_commands.h"
#include "cli/shared_reader.h"

namespace coppice::cli {
namespace {

Result<int> best_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const auto shared, shared_run_named(arguments));
  if (shared) {
    return best_shared(*shared, arguments, console);
  }
  for (const char* option : {"--dispatch", "--shape"}) {
    if (arguments.has(option)) {
      return Error{ErrorCode::usage, std::string(option) + ": only of a run that is made of tasks"};
    }
  }
  COPPICE_TRY(const RunReader run, RunReader::of(arguments));
  const std::string precision = arguments.text("--precision", run.headline());
  const archive::Attempt* best = run.fold().best(precision);
  if (best == nullptr) {
    if (arguments.has("--json")) {
      COPPICE_TRY(const auto against, archive::read_comparison(run.log()));
      console.answer(run_answer(run, against).dump());
    }
    console.say("run " + run.name() + " has no valid candidate of class " + precision);
    return 1;
  }
  COPPICE_TRY(const Candidate candidate, run.candidate(*best));
  if (arguments.has("--source")) {
    console.answer(candidate.source);
    return 0;
  }
  if (arguments.has("--plan")) {
    console.answer(to_json(candidate.plan).pretty());
    return 0;
  }
  COPPICE_TRY(const auto against, archive::read_comparison(run.log()));
  console.answer(arguments.has("--json") ? run_answer(run, against).dump()
                                         : run_summary_text(run, against));
  return 0;
}

}  // namespace

Command best_command() {
  Command command;
  command.name = "best";
  command.summary = "the best candidate of a run";
  command.example = "coppice best last --source > kernel.cpp";
  command.positionals = {{"RUN", "name, its unique beginning, or last (default)", false}};
  command.options = {{"--source", "", "its source text", "", false},
                     {"--plan", "", "its launch plan", "", false},
                     {"--precision", "CLASS", "best of this precision class", "headline", false},
                     {"--dispatch",
                      "",
                      "of a run that is made of tasks: what to call for each op and shape",
                      "",
                      false},
                     {"--shape",
                      "DIM=N,..",
                      "what the dispatch table says of a shape, also of one that was not searched",
                      "none",
                      true}};
  command.body = best_body;
  return command;
}

}  // namespace coppice::cli
