// `coppice diff`: what differs between two candidates' sources.
#include "cli/commands.h"
#include "cli/run_reader.h"
#include "cli/text_diff.h"

namespace coppice::cli {
namespace {

struct Side {
  std::string name;
  Candidate candidate;
};

Result<Side> side_of(const RunReader& run, const std::string& text) {
  COPPICE_TRY(const archive::Attempt* attempt, run.named(text));
  COPPICE_TRY(Candidate candidate, run.candidate(*attempt));
  return Side{"candidate " + std::to_string(attempt->proposal.candidate.value) + " (" +
                  run.label(*attempt) + ")",
              std::move(candidate)};
}

Result<Side> seed_of(const RunReader& run, const std::string& text) {
  COPPICE_TRY(const archive::Attempt* attempt, run.named(text));
  const std::string& name = attempt->proposal.spec.template_name;
  const auto spec = run.default_of(name);
  if (!spec) {
    return Error{ErrorCode::missing, "candidate has no template to compare with"};
  }
  COPPICE_TRY(Candidate candidate, candidate_of(run.material(), CandidateId{}, *spec));
  return Side{"default of template " + name, std::move(candidate)};
}

Result<int> diff_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const RunReader run, RunReader::of(arguments));
  const bool two = arguments.has("B");
  const std::string shown = arguments.text(two ? "B" : "A", "best");
  COPPICE_TRY(const Side after, side_of(run, shown));
  COPPICE_TRY(const Side before, two ? side_of(run, arguments.text("A")) : seed_of(run, shown));
  const std::string text =
      unified_diff(before.candidate.source, after.candidate.source, before.name, after.name) +
      unified_diff(to_json(before.candidate.plan).pretty() + "\n",
                   to_json(after.candidate.plan).pretty() + "\n",
                   before.name + " plan",
                   after.name + " plan");
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("run", run.name()).set("same", text.empty());
    out.set("before", before.name).set("after", after.name).set("diff", text);
    console.answer(out.dump());
  } else if (!text.empty()) {
    console.answer(text);
  }
  if (text.empty()) {
    console.say(before.name + " and " + after.name + " are the same");
  }
  return text.empty() ? 0 : 1;
}

}  // namespace

Command diff_command() {
  Command command;
  command.name = "diff";
  command.summary = "what differs between two candidates, or the winner and its seed";
  command.example = "coppice diff last";
  command.positionals = {{"RUN", "name, its unique beginning, or last (default)", false},
                         {"A", "candidate; alone: compared with its template's default", false},
                         {"B", "candidate", false}};
  command.body = diff_body;
  return command;
}

}  // namespace coppice::cli
