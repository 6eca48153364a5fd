// Runs that are made of tasks, on the command line.
#include "cli/shared_commands.h"

#include "cli/dispatch.h"
#include "cli/interrupts.h"
#include "cli/make_evaluator.h"
#include "cli/replay.h"
#include "cli/shared_answer.h"
#include "cli/shared_report.h"
#include "cli/shared_run.h"
#include "cli/tbb_executor.h"
#include "cli/text_file.h"
#include "cli/words.h"

#include <filesystem>

namespace coppice::cli {
namespace {

constexpr std::size_t kCudaEvaluators = 2;  // each holds its op's tensors on the device
constexpr std::size_t kHostEvaluators = 4;

struct SharedTools {
  SteadyClock clock;
  TbbExecutor executor;
  Interrupts interrupts;

  SharedWorld world(const RunConfig& config, Console& console) {
    return {clock,
            executor,
            console,
            [] { return Interrupts::count(); },
            [](const RunMaterial& material) { return make_evaluator(material); },
            config.backend == "cuda" ? kCudaEvaluators : kHostEvaluators};
  }
};

Result<void> refuse_options(const Arguments& arguments) {
  for (const char* option :
       {"--suite", "--templates", "--compare", "--seed-kernel", "--llm", "--llm-cassette"}) {
    if (arguments.has(option)) {
      return Error{ErrorCode::usage,
                   std::string(option) + ": not beside tasks (each says what it searches)"};
    }
  }
  return {};
}

Result<int> tell_end(const archive::RunStore& store,
                     const SharedEnd& end,
                     const Arguments& arguments,
                     Console& console) {
  COPPICE_TRY(const SharedReader reader, SharedReader::open(store, end.run));
  if (arguments.has("--json")) {
    console.answer(shared_answer(reader).dump());
  } else {
    console.answer(shared_summary_text(reader));
    console.answer(text_of(dispatch_of(reader)));
    console.say("next: coppice report " + end.run + ", coppice best " + end.run +
                " --dispatch, coppice show " + end.run + ", coppice replay " + end.run);
  }
  if (end.interrupted) {
    console.say("interrupted; everything is kept, go on with: coppice resume " + end.run);
    return exit_status(ErrorCode::interrupted);
  }
  return reader.valid() == 0 ? 1 : 0;
}

Result<SharedReader> reader_of(const std::string& name, const Arguments& arguments) {
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  return SharedReader::open(folder.store(), name);
}

// One log against whoever decided it.
struct Compared {
  std::string name;
  Replayed replayed;
};

Result<std::vector<Compared>> compare_logs(const archive::RunStore& store,
                                           const std::string& name,
                                           const SharedReader& reader,
                                           Executor& executor) {
  std::vector<Compared> out;
  COPPICE_TRY(search::Allocator allocator, allocator_of(reader.config()));
  COPPICE_TRY(const archive::ExperimentLog log,
              store.open_run(name, archive::ExperimentLog::Mode::read));
  COPPICE_TRY(Replayed turns,
              replay_log(log, [&](const Event& input) { return allocator.handle(input); }));
  out.push_back({name, std::move(turns)});
  for (const SharedTaskView& task : reader.tasks()) {
    if (!task.trouble.empty()) {
      return Error{ErrorCode::corrupt, task.config.name + ": " + task.trouble};
    }
    if (!task.run) {
      continue;
    }
    if (const int version = task.run->material().decision_version;
        version != search::kDecisionVersion) {
      return Error{ErrorCode::environment,
                   "run " + name + " was decided by version " + std::to_string(version) +
                       "; this program decides as version " +
                       std::to_string(search::kDecisionVersion) +
                       ": take the release that made the run to replay it"};
    }
    COPPICE_TRY(search::Engine engine,
                search::Engine::create(engine_setup(task.run->material()), executor));
    COPPICE_TRY(Replayed decided, replay_log(task.run->log(), engine));
    out.push_back({task.run->name(), std::move(decided)});
  }
  return out;
}

}  // namespace

Result<int> run_shared(const Arguments& arguments,
                       const RunConfig& config,
                       const Places& places,
                       Console& console) {
  COPPICE_TRY_VOID(refuse_options(arguments));
  const std::string folder = arguments.text("--archive", kDefaultArchive);
  const auto known = archive::RunStore::open(folder, archive::RunStore::Access::read);
  COPPICE_TRY(SharedMaterial material,
              gather_tasks(config, places, known.ok() ? &*known : nullptr));
  if (arguments.has("--dry-run")) {
    COPPICE_TRY(const search::Allocator allocator, allocator_of(material.config));
    console.answer(arguments.has("--json") ? first_split(material.config, allocator).dump()
                                           : first_split_text(material.config, allocator));
    return 0;
  }
  for (std::size_t i = 0; i < material.tasks.size(); ++i) {
    for (const LeftOut& left : material.tasks[i].templates.left_out) {
      console.say(material.config.tasks[i].name + ": template " + left.template_name +
                  " is left out: " + left.reason);
    }
  }
  COPPICE_TRY(const archive::RunStore store,
              archive::RunStore::open(folder, archive::RunStore::Access::create));
  SharedTools tools;
  const SharedWorld world = tools.world(material.config, console);
  const std::string base = std::filesystem::path(arguments.text("CONFIG")).stem().string();
  COPPICE_TRY(const SharedEnd end, start_shared(store, base, std::move(material), world));
  return tell_end(store, end, arguments, console);
}

Result<int> resume_shared_run(const ArchiveFolder& folder,
                              const std::string& name,
                              const Arguments& arguments,
                              Console& console) {
  COPPICE_TRY(archive::ExperimentLog log,
              folder.store().open_run(name, archive::ExperimentLog::Mode::append));
  COPPICE_TRY(SharedMaterial material, recall_tasks(log).within("run " + name));
  material.run = name;  // it may have been unpacked under another one
  SharedTools tools;
  const SharedWorld world = tools.world(material.config, console);
  COPPICE_TRY(const SharedEnd end, resume_shared(folder.store(), std::move(log), material, world));
  return tell_end(folder.store(), end, arguments, console);
}

Result<int> replay_shared(const std::string& name, const Arguments& arguments, Console& console) {
  if (arguments.has("--measure")) {
    return Error{ErrorCode::usage,
                 "--measure: of one task at a time (" + name + "/TASK; coppice show " + name +
                     " names them)"};
  }
  COPPICE_TRY(const auto threads, arguments.integer("--threads", 1, 1024));
  TbbExecutor executor(static_cast<int>(threads.value_or(0)));
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const SharedReader reader, SharedReader::open(folder.store(), name));
  COPPICE_TRY(const auto logs, compare_logs(folder.store(), name, reader, executor));
  std::uint64_t decisions = 0;
  std::uint64_t matched = 0;
  bool same = true;
  Json list = Json::array();
  for (const Compared& log : logs) {
    decisions += log.replayed.decisions;
    matched += log.replayed.matched;
    same = same && log.replayed.same();
    list.push(to_json(log.replayed).set("run", log.name));
    if (const auto& mismatch = log.replayed.first_mismatch; mismatch && !arguments.has("--json")) {
      console.answer(
          log.name + ": first mismatch at event " + std::to_string(mismatch->seq.value) +
          "\n  recorded: " + (mismatch->recorded.empty() ? "nothing" : mismatch->recorded) +
          "\n  decided:  " + (mismatch->decided.empty() ? "nothing" : mismatch->decided));
    }
  }
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("run", name).set("decision_version", search::kDecisionVersion);
    out.set("allocator_version", search::kAllocatorVersion);
    out.set("decisions", decisions).set("matched", matched).set("logs", std::move(list));
    console.answer(out.dump());
  } else {
    console.answer(name + ": " + std::to_string(matched) + " of " + std::to_string(decisions) +
                   " decisions match, in the logs of the turns and of " +
                   std::to_string(logs.size() - 1) + " tasks");
  }
  return same ? 0 : 1;
}

Result<int> show_shared(const std::string& name, const Arguments& arguments, Console& console) {
  for (const char* word : {"CANDIDATE", "--model"}) {
    if (arguments.has(word)) {
      return Error{ErrorCode::usage,
                   std::string(word) + ": of one task at a time (" + name + "/TASK)"};
    }
  }
  COPPICE_TRY(const SharedReader reader, reader_of(name, arguments));
  constexpr std::size_t kNewestTurns = 12;
  console.answer(arguments.has("--json")
                     ? shared_answer(reader).dump()
                     : shared_summary_text(reader) + "\n" + turns_text(reader, kNewestTurns));
  return 0;
}

Result<int> best_shared(const std::string& name, const Arguments& arguments, Console& console) {
  for (const char* option : {"--source", "--plan", "--precision"}) {
    if (arguments.has(option)) {
      return Error{ErrorCode::usage,
                   std::string(option) + ": of one task at a time (" + name + "/TASK)"};
    }
  }
  COPPICE_TRY(const SharedReader reader, reader_of(name, arguments));
  const std::vector<DispatchOp> table = dispatch_of(reader);
  if (arguments.has("--shape")) {
    COPPICE_TRY(const DimMap dims, read_dims(arguments.list("--shape")));
    COPPICE_TRY(const auto answers, ask_dispatch(table, dims));
    console.answer(arguments.has("--json") ? to_json(answers).dump() : text_of(answers));
    return 0;
  }
  if (arguments.has("--json")) {
    console.answer(arguments.has("--dispatch") ? to_json(table, name).dump()
                                               : shared_answer(reader).dump());
  } else {
    console.answer(arguments.has("--dispatch") ? text_of(table) : shared_summary_text(reader));
  }
  return reader.valid() == 0 ? 1 : 0;
}

Result<int> report_shared(const std::string& name, const Arguments& arguments, Console& console) {
  COPPICE_TRY(const SharedReader reader, reader_of(name, arguments));
  if (arguments.has("--json")) {
    console.answer(shared_report_data(reader).dump());
    return 0;
  }
  const std::string path = arguments.text("--output", reader.directory() + "/report.html");
  COPPICE_TRY_VOID(write_text_file(path, shared_report_page(reader)));
  console.answer(path);
  return 0;
}

Result<int> export_shared(const std::string& name, const Arguments& arguments, Console& console) {
  const std::string format = arguments.text("--format", "dispatch");
  if (format != "dispatch") {
    return Error{ErrorCode::usage,
                 "--format: of a run that is made of tasks only dispatch; " + format +
                     " of one task at a time (" + name + "/TASK)"};
  }
  COPPICE_TRY(const SharedReader reader, reader_of(name, arguments));
  const std::string text = to_json(dispatch_of(reader), name).pretty() + "\n";
  if (arguments.has("--output")) {
    COPPICE_TRY_VOID(write_text_file(arguments.text("--output"), text));
    console.say("written: " + arguments.text("--output"));
  } else {
    console.answer(text);
  }
  return 0;
}

}  // namespace coppice::cli
