// `coppice list`: the runs of an archive.
#include "cli/archive_folder.h"
#include "cli/commands.h"
#include "cli/run_reader.h"
#include "cli/words.h"

namespace coppice::cli {
namespace {

struct Line {
  archive::RunSummary summary;
  std::string op, strategy, best;
  std::int64_t attempts = 0;
  std::optional<double> speedup;
};

Line look_at(const ArchiveFolder& folder, const archive::RunSummary& summary) {
  Line line;
  line.summary = summary;
  if (summary.start && !summary.start->tasks.empty()) {
    line.op = std::to_string(summary.start->tasks.size()) + " tasks";
    return line;
  }
  const Result<RunReader> run = RunReader::open(folder.store(), summary.name);
  if (!run.ok()) {
    line.summary.trouble = summary.trouble.empty() ? run.error().message : summary.trouble;
    return line;
  }
  line.op = run->material().op.name;
  line.strategy = std::string(search::to_text(run->material().config.search.strategy));
  line.attempts = run->fold().searched();
  if (const archive::Attempt* best = run->best()) {
    line.speedup = best->speedup();
  }
  return line;
}

Json line_json(const Line& line) {
  Json out = Json::object();
  out.set("run", line.summary.name).set("state", state_of(line.summary));
  out.set("op", line.op).set("strategy", line.strategy);
  out.set("seed", line.summary.start ? Json(line.summary.start->seed) : Json());
  out.set("started", to_seconds(line.summary.started)).set("attempts", line.attempts);
  out.set("speedup", line.speedup ? Json(*line.speedup) : Json());
  out.set("bytes", line.summary.bytes).set("trouble", line.summary.trouble);
  return out;
}

Result<int> list_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const auto summaries, folder.list());
  std::vector<Line> lines;
  for (const archive::RunSummary& summary : summaries) {
    lines.push_back(look_at(folder, summary));
  }
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("archive", folder.store().directory());
    out.set("runs", Json::array_of(lines, line_json));
    console.answer(out.dump());
    return 0;
  }
  Table table({"run", "state", "op", "strategy", "seed", "attempts", "best", "started"});
  for (const Line& line : lines) {
    table.add({line.summary.name,
               state_of(line.summary),
               line.op,
               line.strategy,
               line.summary.start ? std::to_string(line.summary.start->seed) : "-",
               std::to_string(line.attempts),
               line.speedup ? speed_text(*line.speedup) : "-",
               date_text(line.summary.started)});
    if (!line.summary.trouble.empty()) {
      console.say(line.summary.name + ": " + line.summary.trouble);
    }
  }
  if (table.empty()) {
    console.say("no runs in " + folder.store().directory());
  } else {
    console.answer(table.text());
  }
  return 0;
}

}  // namespace

Command list_command() {
  Command command;
  command.name = "list";
  command.summary = "the runs of an archive";
  command.example = "coppice list";
  command.body = list_body;
  return command;
}

}  // namespace coppice::cli
