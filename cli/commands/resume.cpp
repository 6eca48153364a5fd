// `coppice resume`: goes on with a run that was interrupted or killed.
#include "archive/run_fold.h"
#include "cli/commands.h"
#include "cli/interrupts.h"
#include "cli/make_evaluator.h"
#include "cli/run_answer.h"
#include "cli/run_session.h"
#include "cli/shared_commands.h"
#include "cli/shared_reader.h"
#include "cli/tbb_executor.h"

namespace coppice::cli {
namespace {

Result<int> resume_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const std::string name, folder.find(arguments.text("RUN")));
  COPPICE_TRY(const auto shared, shared_run_named(arguments));
  if (shared) {
    return resume_shared_run(folder, *shared, arguments, console);
  }
  if (archive::is_task_of_run(name)) {
    return Error{
        ErrorCode::usage,
        name + " shares a budget: resume the whole run, " + name.substr(0, name.find('/'))};
  }
  COPPICE_TRY(archive::ExperimentLog log,
              folder.store().open_run(name, archive::ExperimentLog::Mode::append));
  archive::RunFold fold;
  const auto folded = fold.catch_up(log);
  if (!folded.ok()) {
    return folded.error().within("run " + name);
  }
  if (fold.stopped()) {  // known at once, without deciding everything again
    return Error{
        ErrorCode::usage,
        "run " + name + " has ended (" + fold.stopped()->message + "); there is nothing to resume"};
  }
  COPPICE_TRY(const RunMaterial material, recall(log).within("run " + name));
  COPPICE_TRY(const auto evaluator, make_evaluator(material));
  const SteadyClock clock;
  TbbExecutor executor;
  const Interrupts interrupts;
  const SessionWorld world{
      *evaluator, clock, executor, console, [] { return Interrupts::count(); }, ""};
  COPPICE_TRY(const SessionResult result, resume_run(std::move(log), material, world));
  COPPICE_TRY(const RunReader reader, RunReader::open(folder.store(), name));
  console.answer(arguments.has("--json") ? run_answer(reader, {}).dump()
                                         : run_summary_text(reader, {}));
  if (result.end.interrupted) {
    console.say("interrupted; everything is kept, go on with: coppice resume " + name);
    return exit_status(ErrorCode::interrupted);
  }
  return reader.best() == nullptr ? 1 : 0;
}

}  // namespace

Command resume_command() {
  Command command;
  command.name = "resume";
  command.summary = "go on with an interrupted run";
  command.example = "coppice resume last";
  command.positionals = {{"RUN", "name, its unique beginning, or last (default)", false}};
  command.body = resume_body;
  return command;
}

}  // namespace coppice::cli
