// `coppice table`: what a recorded table or a T1 space holds, and the same in other formats.
#include "cli/archive_folder.h"
#include "cli/commands.h"
#include "cli/run_table.h"
#include "cli/text_file.h"
#include "cli/warm_sources.h"
#include "core/space_walk.h"
#include "evaluators/recorded_write.h"
#include "evaluators/t1_space.h"

#include <filesystem>
#include <optional>

namespace coppice::cli {
namespace {

Json table_space_json(const TemplateSpace& space) {
  const SpaceWalker walker(space.space);
  const auto count = walker.count();
  return Json::object()
      .set("schema", 1)
      .set("name", space.name)
      .set("raw", space.space.raw_size())
      .set("valid_points", count ? Json(*count) : Json())
      .set("restrictions",
           Json::array_of(space.space.restrictions(), [](const Expr& e) { return Json(e.text()); }))
      .set("axes", Json::array_of(space.space.axes(), [](const Axis& axis) {
             return Json::object()
                 .set("name", axis.name)
                 .set("type", to_text(axis.type))
                 .set("levels",
                      Json::array_of(axis.levels, [](const Value& v) { return Json(v); }));
           }));
}

Json table_summary_json(const evaluators::RecordedTable& table) {
  return Json::object()
      .set("schema", 1)
      .set("name", table.name())
      .set("configurations", static_cast<std::uint64_t>(table.size()))
      .set("valid", static_cast<std::uint64_t>(table.valid_count()))
      .set("optimum_ms", table.optimum_milliseconds())
      .set("optimum", table.space().space.describe(table.optimum()));
}

std::string table_lines(const Json& json) {
  std::string out;
  const JsonReader root = json.reader("summary");
  const auto members = root.members();
  for (const auto& [name, value] : *members) {
    if (name != "schema") {
      const Result<std::string> text = value.text();
      out += name + ": " + (text.ok() ? *text : value.copy().dump()) + "\n";
    }
  }
  return out;
}

Result<evaluators::RecordedTable> table_named(const Arguments& arguments) {
  const std::string name = arguments.text("SOURCE");
  std::error_code error;
  const bool generated = name.rfind("synthetic:", 0) == 0 || name.rfind("derived:", 0) == 0;
  if (generated || std::filesystem::is_regular_file(name, error)) {
    if (arguments.has("--template")) {
      return Error{ErrorCode::usage, "--template: only a run has several templates"};
    }
    return named_table(name);
  }
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const std::string found, folder.find(name));
  COPPICE_TRY(const RunReader run, RunReader::open(folder.store(), found));
  return run_table(run, arguments.text("--template"));
}

// A T1 document, where the file is one.
Result<std::optional<TemplateSpace>> t1_named(const std::string& name) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(name, error) || name.ends_with(".gz")) {
    return std::optional<TemplateSpace>();
  }
  COPPICE_TRY(const std::string text, read_text_file(name));
  if (text.find("\"ConfigurationSpace\"") == std::string::npos) {
    return std::optional<TemplateSpace>();
  }
  COPPICE_TRY(const Json json, Json::parse(text, name));
  COPPICE_TRY(TemplateSpace space, evaluators::t1_space(json.reader(name)));
  return std::optional(std::move(space));
}

Result<int> table_body(const Arguments& arguments, Console& console) {
  const std::string to = arguments.text("--to");
  if (!to.empty() && to != "t4" && to != "kernel-tuner") {
    return Error{ErrorCode::usage, "--to: expected t4 or kernel-tuner, found \"" + to + "\""};
  }
  COPPICE_TRY(const auto t1, t1_named(arguments.text("SOURCE")));
  if (t1 && !to.empty()) {
    return Error{ErrorCode::usage, "--to: a T1 space has no results to write"};
  }
  if (t1) {
    const Json json = table_space_json(*t1);
    console.answer(arguments.has("--json") ? json.dump() : table_lines(json));
    return 0;
  }
  COPPICE_TRY(const evaluators::RecordedTable table, table_named(arguments));
  if (to.empty()) {
    const Json json = table_summary_json(table);
    console.answer(arguments.has("--json") ? json.dump() : table_lines(json));
    return 0;
  }
  console.answer(
      (to == "t4" ? evaluators::t4_json(table) : evaluators::kernel_tuner_json(table)).dump());
  return 0;
}

}  // namespace

Command table_command() {
  Command command;
  command.name = "table";
  command.summary = "what a recorded table, a run or a T1 space holds; --to writes it for others";
  command.example = "coppice table last --to t4 > run.T4.json";
  command.positionals = {{"SOURCE",
                          "Kernel Tuner cache file, T4 results, KTT output, T1 space, run, "
                          "synthetic:NAME/INSTANCE, derived:NAME/INSTANCE:TABLE",
                          true}};
  command.options = {{"--to", "FORMAT", "t4 or kernel-tuner, on stdout", "none: a summary", false},
                     {"--template", "NAME", "of a run", "that of its best", false}};
  command.body = table_body;
  return command;
}

}  // namespace coppice::cli
