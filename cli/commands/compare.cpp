// `coppice compare`: several runs side by side.
#include "cli/commands.h"
#include "cli/run_answer.h"
#include "cli/words.h"

#include <cmath>

namespace coppice::cli {
namespace {

std::optional<double> final_cost(const RunReader& run) {
  const auto& curve = run.fold().curve(run.headline());
  return curve.empty() ? std::nullopt : std::optional<double>(curve.back().log_cost);
}

Json compared_json(const RunReader& run, const RunReader& first) {
  Json out = run_answer(run, {});
  const auto target = final_cost(first);
  const auto reached = target ? attempts_until(run, *target) : std::nullopt;
  out.set("attempts_to_first", reached ? Json(*reached) : Json());
  return out;
}

Result<int> compare_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  std::vector<RunReader> runs;
  for (const char* position : {"A", "B", "C", "D"}) {
    if (!arguments.has(position)) {
      continue;
    }
    COPPICE_TRY(const std::string name, folder.find(arguments.text(position)));
    COPPICE_TRY(RunReader run, RunReader::open(folder.store(), name));
    if (!runs.empty() && run.material().op.digest != runs[0].material().op.digest) {
      console.say(name + " searched another version of the operation: numbers are not comparable");
    }
    runs.push_back(std::move(run));
  }
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1);
    out.set("runs", Json::array_of(runs, [&](const RunReader& run) {
              return compared_json(run, runs[0]);
            }));
    console.answer(out.dump());
    return 0;
  }
  Table table({"run",
               "strategy",
               "seed",
               "attempts",
               "valid",
               "best",
               "of the first",
               "reached its best after"});
  const auto target = final_cost(runs[0]);
  for (const RunReader& run : runs) {
    const archive::Attempt* best = run.best();
    const Against ratio = against_by_baseline(run, runs[0]);
    const auto reached = target ? attempts_until(run, *target) : std::nullopt;
    table.add({run.name(),
               std::string(search::to_text(run.material().config.search.strategy)),
               std::to_string(run.material().config.seed),
               std::to_string(run.fold().searched()),
               std::to_string(run.fold().valid()),
               best != nullptr && best->speedup() ? speed_text(*best->speedup()) : "-",
               ratio.ratio ? speed_text(*ratio.ratio) : "-",
               reached ? std::to_string(*reached) + " attempts" : "-"});
  }
  console.answer(table.text());
  return 0;
}

}  // namespace

Command compare_command() {
  Command command;
  command.name = "compare";
  command.summary = "several runs side by side, each against its own frozen baseline";
  command.example = "coppice compare quickstart quickstart_random";
  command.positionals = {
      {"A", "run", true}, {"B", "run", true}, {"C", "run", false}, {"D", "run", false}};
  command.body = compare_body;
  return command;
}

}  // namespace coppice::cli
