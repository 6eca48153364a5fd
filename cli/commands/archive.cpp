// `coppice archive`: hand a run to somebody else as one file, verify its log, write its lineage as
// git.
#include "archive/comparison_file.h"
#include "archive/git_archive.h"
#include "archive/run_pack.h"
#include "archive/task_logs.h"
#include "cli/commands.h"
#include "cli/run_reader.h"
#include "cli/words.h"

#include <algorithm>

namespace coppice::cli {
namespace {

constexpr const char* kRunHelp = "name, its unique beginning, or last (default)";

// The chains of a run's tasks, and whether the run's own log knows them.
Result<void> verify_tasks(const archive::RunStore& store,
                          const std::string& name,
                          const archive::ExperimentLog& log) {
  COPPICE_TRY(const std::vector<std::string> tasks, archive::task_logs(log));
  for (const std::string& task : tasks) {
    COPPICE_TRY(const archive::ExperimentLog own,
                store.open_run(name + "/" + task, archive::ExperimentLog::Mode::read));
    COPPICE_TRY(const archive::ChainStatus status, own.verify().within(task));
    if (!status.ok) {
      return Error{ErrorCode::corrupt, "task " + task + ": " + status.message};
    }
  }
  return archive::check_task_logs(log);
}

Result<int> verify(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const std::string name, folder.find(arguments.text("RUN")));
  archive::LogOptions options;
  options.check = false;  // a damaged log is what we are asked about
  COPPICE_TRY(const archive::ExperimentLog log,
              archive::ExperimentLog::open(
                  folder.store().directory_of(name), archive::ExperimentLog::Mode::read, options));
  COPPICE_TRY(archive::ChainStatus status, log.verify());
  if (status.ok && !arguments.has("--fast")) {
    if (const auto content = log.verify_content(); !content.ok()) {
      status.ok = false;
      status.message = content.error().message;
    }
  }
  if (status.ok) {
    if (const auto compared = archive::read_comparison(log); !compared.ok()) {
      status.ok = false;
      status.message = compared.error().message;
    }
  }
  if (status.ok) {
    if (const auto tasks = verify_tasks(folder.store(), name, log); !tasks.ok()) {
      status.ok = false;
      status.message = tasks.error().message;
    }
  }
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("run", name).set("ok", status.ok).set("events", status.events);
    out.set("head", status.head.hex()).set("message", status.message);
    console.answer(out.dump());
  } else if (status.ok) {
    console.answer(name + ": " + std::to_string(status.events) + " events, chain whole, head " +
                   status.head.hex());
  } else {
    console.answer(name + ": damaged: " + status.message);
  }
  return status.ok ? 0 : 1;
}

Result<int> git(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const RunReader run, RunReader::of(arguments));
  const std::string repository = arguments.text("--output", run.log().directory() + "/lineage.git");
  archive::GitExportOptions options;
  options.progress = [&](std::uint64_t done) {
    console.show_progress(std::to_string(done) + " candidates");
    return true;
  };
  COPPICE_TRY(const archive::GitExported exported,
              archive::export_git(run.log(), run.source(), repository, options));
  console.clear_progress();
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("run", run.name()).set("repository", repository);
    out.set("candidates", exported.candidates).set("new", exported.new_candidates);
    out.set("packs", static_cast<std::int64_t>(exported.packs));
    console.answer(out.dump());
  } else {
    console.answer(repository);
    console.say(std::to_string(exported.candidates) + " candidates, " +
                std::to_string(exported.new_candidates) + " new; see: git -C " + repository +
                " log --graph --oneline all");
  }
  return 0;
}

int tell_pack(const archive::PackedRun& pack,
              const std::string& where,
              const Arguments& arguments,
              Console& console) {
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("run", pack.name).set("path", where).set("events", pack.events);
    out.set("head", pack.head.hex()).set("bytes", pack.bytes);
    console.answer(out.dump());
  } else {
    console.answer(where);
    console.say("run " + pack.name + ", " + std::to_string(pack.events) + " events, " +
                size_text(static_cast<double>(pack.bytes)));
  }
  return 0;
}

std::string file_name(std::string run) {
  std::ranges::replace(run, '/', '.');  // of a task by itself
  return run;
}

Result<int> pack(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const std::string name, folder.find(arguments.text("RUN")));
  const std::string path = arguments.text("--output", file_name(name) + ".coppice");
  COPPICE_TRY(const archive::PackedRun packed, archive::pack_run(folder.store(), name, path));
  return tell_pack(packed, path, arguments, console);
}

Result<int> unpack(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const archive::RunStore store,
              archive::RunStore::open(arguments.text("--archive", kDefaultArchive),
                                      archive::RunStore::Access::create));
  COPPICE_TRY(const archive::PackedRun taken,
              archive::unpack_run(store, arguments.text("FILE"), arguments.text("--as")));
  return tell_pack(taken, store.directory_of(taken.name), arguments, console);
}

}  // namespace

std::vector<Command> archive_commands() {
  Command packing;
  packing.name = "archive pack";
  packing.summary = "write a run into one file for somebody else";
  packing.example = "coppice archive pack last --output my_run.coppice";
  packing.positionals = {{"RUN", kRunHelp, false}};
  packing.options = {{"--output", "FILE", "must not exist yet", "RUN.coppice", false}};
  packing.body = pack;
  Command unpacking;
  unpacking.name = "archive unpack";
  unpacking.summary = "take a packed run in, verified before it appears";
  unpacking.example = "coppice archive unpack my_run.coppice";
  unpacking.positionals = {{"FILE", "what archive pack wrote", true}};
  unpacking.options = {{"--as", "NAME", "name of the run here", "its own", false}};
  unpacking.body = unpack;
  Command verifying;
  verifying.name = "archive verify";
  verifying.summary = "check a run's chain, checkpoints and texts";
  verifying.example = "coppice archive verify last";
  verifying.positionals = {{"RUN", kRunHelp, false}};
  verifying.options = {{"--fast", "", "the chain alone, not every text", "", false}};
  verifying.body = verify;
  Command lineage;
  lineage.name = "archive git";
  lineage.summary = "write a run's lineage as a git repository";
  lineage.example = "coppice archive git last && git -C lineage.git log --graph all";
  lineage.positionals = {{"RUN", kRunHelp, false}};
  lineage.options = {{"--output",
                      "DIR",
                      "bare repository to make or bring up to date",
                      "lineage.git in the run's folder",
                      false}};
  lineage.body = git;
  return {packing, unpacking, verifying, lineage};
}

}  // namespace coppice::cli
