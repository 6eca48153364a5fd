// Folds the log of a run that is made of tasks, and opens its tasks.
#include "cli/shared_reader.h"

#include "cli/shared_material.h"
#include "cli/tbb_executor.h"

#include <algorithm>

namespace coppice::cli {
namespace {

Result<RunConfig> archived_config(const archive::ExperimentLog& log) {
  COPPICE_TRY(const archive::LogRow row, log.row(EventSeq{1}));
  COPPICE_TRY(const Event event, decode(row.bytes));
  const auto* started = std::get_if<RunStarted>(&event);
  if (started == nullptr || started->tasks.empty()) {
    return Error{ErrorCode::usage, log.directory() + ": this run is not made of tasks"};
  }
  COPPICE_TRY(const std::string text, log.blob(started->config).within("archived configuration"));
  COPPICE_TRY(const Json json, Json::parse(text, "archived configuration"));
  return run_config(json.reader("archived configuration"));
}

}  // namespace

Result<SharedReader> SharedReader::open(const archive::RunStore& store, const std::string& name) {
  COPPICE_TRY(const archive::ExperimentLog log,
              store.open_run(name, archive::ExperimentLog::Mode::read));
  SharedReader out;
  out.name_ = name;
  out.archive_ = store.directory();
  out.directory_ = log.directory();
  COPPICE_TRY(out.config_, archived_config(log).within("run " + name));
  COPPICE_TRY_VOID(out.read_log(log).within("run " + name));
  COPPICE_TRY(const std::vector<std::string> known, store.names());
  TbbExecutor executor;
  executor.parallel_for(out.tasks_.size(), [&](std::size_t i) {
    SharedTaskView& task = out.tasks_[i];
    const std::string run = task_run(name, task.config);
    if (std::ranges::find(known, run) == known.end()) {
      return;
    }
    Result<RunReader> reader = RunReader::open(store, run);
    if (reader.ok()) {
      task.run.emplace(std::move(*reader));
    } else {
      task.trouble = reader.error().message;
    }
  });
  return out;
}

Result<void> SharedReader::read_log(const archive::ExperimentLog& log) {
  COPPICE_TRY(search::Allocator allocator, allocator_of(config_));
  COPPICE_TRY_VOID(log.visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
    COPPICE_TRY(const Event event, decode(row.bytes));
    take(row, event);
    if (is_input(event)) {
      static_cast<void>(allocator.handle(event));
    }
    return true;
  }));
  for (std::size_t i = 0; i < config_.tasks.size(); ++i) {
    SharedTaskView task;
    task.config = config_.tasks[i];
    task.standing = allocator.standings()[i];
    tasks_.push_back(std::move(task));
  }
  return {};
}

void SharedReader::take(const archive::LogRow& row, const Event& event) {
  if (const auto* tick = std::get_if<Tick>(&event)) {
    elapsed_ = tick->elapsed;
  } else if (const auto* allocated = std::get_if<Allocated>(&event)) {
    turns_.push_back({row.seq, elapsed_, *allocated, std::nullopt});
  } else if (const auto* ended = std::get_if<SliceEnded>(&event)) {
    if (!turns_.empty()) {
      turns_.back().ended = *ended;
    }
  } else if (const auto* stopped = std::get_if<Stopped>(&event)) {
    stopped_ = *stopped;
  } else if (std::holds_alternative<Resumed>(event)) {
    ++sessions_;
  }
}

std::int64_t SharedReader::attempts() const {
  std::int64_t sum = 0;
  for (const SharedTaskView& task : tasks_) {
    sum += task.run ? task.run->fold().searched() : 0;
  }
  return sum;
}

std::int64_t SharedReader::valid() const {
  std::int64_t sum = 0;
  for (const SharedTaskView& task : tasks_) {
    sum += task.run ? task.run->fold().valid() : 0;
  }
  return sum;
}

Result<std::optional<std::string>> shared_run_named(const Arguments& arguments) {
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const std::string name, folder.find(arguments.text("RUN")));
  if (archive::is_task_of_run(name)) {
    return std::optional<std::string>();
  }
  COPPICE_TRY(const archive::RunSummary summary, folder.store().summary(name));
  if (!summary.start || summary.start->tasks.empty()) {
    return std::optional<std::string>();
  }
  return std::optional<std::string>(name);
}

}  // namespace coppice::cli
