// `coppice memory`: what all runs of the archive together learned.
#include "cli/archive_folder.h"
#include "cli/commands.h"
#include "cli/cross_run.h"

#include <fmt/format.h>

namespace coppice::cli {
namespace {

std::string facts_text(const CrossRun& memory) {
  std::string text =
      fmt::format("{} on {}: {} runs\n", memory.family, memory.target, memory.runs.size());
  for (const Fact& fact : memory.facts) {
    text += fmt::format("  {}: {} (shown by", name_of(fact.maturity), fact.text);
    for (const Pointer& one : fact.level.shown_by) {
      text += fmt::format(" {}#{}", one.run, one.attempt.value);
    }
    text += ")\n";
  }
  return text + (memory.facts.empty() ? "  nothing proven yet\n" : "");
}

Result<int> memory_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const std::vector<CrossRun> all, cross_run(folder.store(), false));
  if (arguments.has("--json")) {
    console.answer(
        Json::object()
            .set("schema", 1)
            .set("memory", Json::array_of(all, [](const CrossRun& one) { return to_json(one); }))
            .dump());
    return 0;
  }
  std::string text;
  for (const CrossRun& one : all) {
    text += facts_text(one);
  }
  console.answer(text);
  return 0;
}

}  // namespace

Command memory_command() {
  Command command;
  command.name = "memory";
  command.summary = "facts and dead ends that the archive's runs showed, and how sure they are";
  command.example = "coppice memory --json";
  command.body = memory_body;
  return command;
}

}  // namespace coppice::cli
