// `coppice report`: the run as one HTML file.
#include "cli/commands.h"
#include "cli/engine_at_end.h"
#include "cli/report_data.h"
#include "cli/report_page.h"
#include "cli/shared_commands.h"
#include "cli/shared_reader.h"
#include "cli/tbb_executor.h"
#include "cli/text_file.h"

namespace coppice::cli {
namespace {

std::vector<RunReader> compared_runs(const ArchiveFolder& folder,
                                     const std::vector<Against>& against,
                                     Console& console) {
  std::vector<RunReader> runs;
  for (const Against& item : against) {
    Result<RunReader> other = RunReader::open(folder.store(), item.run);
    if (other.ok()) {
      runs.push_back(std::move(*other));
    } else {
      console.say("the report leaves " + item.run + " out: " + other.error().message);
    }
  }
  return runs;
}

Result<int> report_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const auto shared, shared_run_named(arguments));
  if (shared) {
    return report_shared(*shared, arguments, console);
  }
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const RunReader run, RunReader::of(arguments));
  const std::string directory = run.log().directory();
  COPPICE_TRY(const auto against, archive::read_comparison(run.log()));
  const std::vector<RunReader> compared = compared_runs(folder, against, console);
  TbbExecutor executor;
  const Result<search::Engine> engine = engine_at_end(run, executor, console);
  if (!engine.ok()) {
    console.say("the report has no frontier and no mutators: " + engine.error().message);
  }
  COPPICE_TRY(const Json data,
              report_data(run, engine.ok() ? &*engine : nullptr, against, compared));
  if (arguments.has("--json")) {
    console.answer(data.dump());
    return 0;
  }
  const std::string path = arguments.text("--output", directory + "/report.html");
  const std::string title = run.material().op.name + ": " + run.name();
  COPPICE_TRY_VOID(write_text_file(path, report_page(title, data)));
  console.answer(path);
  return 0;
}

}  // namespace

Command report_command() {
  Command command;
  command.name = "report";
  command.summary = "the run as one HTML file that opens without network";
  command.example = "coppice report last --output report.html";
  command.positionals = {{"RUN", "name, its unique beginning, or last (default)", false}};
  command.options = {
      {"--output", "FILE", "where to write it", "report.html in the run's folder", false}};
  command.body = report_body;
  return command;
}

}  // namespace coppice::cli
