// `coppice frontier`: what was tried, what was not, and what it would be worth.
#include "cli/commands.h"
#include "cli/cross_run.h"
#include "cli/engine_at_end.h"
#include "cli/frontier_view.h"
#include "cli/tbb_executor.h"
#include "cli/words.h"

#include <fmt/format.h>

namespace coppice::cli {
namespace {

std::string text_of(const std::vector<search::FrontierEntry>& entries, bool against_baseline) {
  Table table({"template", "axis", "level", "state", "attempts", "valid", "best", "expected gain"});
  std::string last_template;
  std::string last_axis;
  for (const search::FrontierEntry& entry : entries) {
    const bool same_template = entry.template_name == last_template;
    const bool same_axis = same_template && entry.axis == last_axis;
    last_template = entry.template_name;
    last_axis = entry.axis;
    table.add({same_template ? "" : entry.template_name,
               same_axis ? "" : entry.axis,
               coppice::to_text(entry.level),
               entry.state,
               std::to_string(entry.attempts),
               std::to_string(entry.valid),
               entry.best_log_cost ? cost_text(*entry.best_log_cost, against_baseline) : "-",
               entry.expected_gain > 0.0 ? fmt::format("{:.3f}", entry.expected_gain) : "-"});
  }
  return table.text();
}

std::string text_of(const CrossRun& memory) {
  Table table({"op",
               "template",
               "axis",
               "level",
               "attempts",
               "valid",
               "runs",
               "behind best",
               "expected gain"});
  for (const CrossLevel& level : memory.levels) {
    table.add({level.op,
               level.template_name,
               level.axis,
               coppice::to_text(level.level),
               std::to_string(level.attempts),
               std::to_string(level.valid),
               std::to_string(level.runs.size()),
               level.behind ? fmt::format("{:.1f} %", 100.0 * *level.behind) : "-",
               level.expected_gain > 0.0 ? fmt::format("{:.3f}", level.expected_gain) : "-"});
  }
  return fmt::format("{} on {}: {} runs\n", memory.family, memory.target, memory.runs.size()) +
         table.text();
}

Result<int> whole_frontier(const Arguments& arguments, Console& console) {
  if (arguments.has("RUN") || arguments.has("--csv")) {
    return Error{ErrorCode::usage, "--all: tells of every run, as text or --json"};
  }
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const std::vector<CrossRun> all, cross_run(folder.store(), true));
  std::string text;
  for (const CrossRun& one : all) {
    text += text_of(one);
  }
  const auto json = [](const CrossRun& one) {
    return to_json(one);
  };
  console.answer(
      arguments.has("--json")
          ? Json::object().set("schema", 1).set("frontiers", Json::array_of(all, json)).dump()
          : text);
  return 0;
}

Result<int> frontier_body(const Arguments& arguments, Console& console) {
  if (arguments.has("--all")) {
    return whole_frontier(arguments, console);
  }
  COPPICE_TRY(const RunReader run, RunReader::of(arguments));
  TbbExecutor executor;
  COPPICE_TRY(const search::Engine engine, engine_at_end(run, executor, console));
  const std::vector<search::FrontierEntry> entries = engine.view().frontier();
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1)
        .set("run", run.name())
        .set("levels", frontier_json(entries, run.against_baseline()));
    console.answer(out.dump());
  } else if (arguments.has("--csv")) {
    console.answer(frontier_csv(entries, run.against_baseline()));
  } else {
    console.answer(text_of(entries, run.against_baseline()));
  }
  return 0;
}

}  // namespace

Command frontier_command() {
  Command command;
  command.name = "frontier";
  command.summary = "which axis levels were tried, and what they brought";
  command.example = "coppice frontier last --csv > frontier.csv";
  command.positionals = {{"RUN", "name, its unique beginning, or last (default)", false}};
  command.options = {
      {"--csv", "", "as comma-separated values", "", false},
      {"--all", "", "over all runs of the archive, by operation family and target", "", false}};
  command.body = frontier_body;
  return command;
}

}  // namespace coppice::cli
