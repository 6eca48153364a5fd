// Gathers the inputs of all tasks, keeps them in the run's log, and finds them there again.
#include "cli/shared_material.h"

#include "cli/warm_sources.h"

namespace coppice::cli {
namespace {

Result<RunStarted> started_in(std::string_view bytes) {
  COPPICE_TRY(Event event, decode(bytes));
  auto* started = std::get_if<RunStarted>(&event);
  if (started == nullptr) {
    return Error{ErrorCode::corrupt, "the log does not begin with run_started"};
  }
  return std::move(*started);
}

Result<RunStarted> start_of(const archive::ExperimentLog& log) {
  COPPICE_TRY(const archive::LogRow row, log.row(EventSeq{1}));
  return started_in(row.bytes).within(log.directory());
}

}  // namespace

Result<SharedMaterial> gather_tasks(const RunConfig& config,
                                    const Places& places,
                                    const archive::RunStore* known) {
  SharedMaterial out;
  out.config = config;
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    const std::string place = "task " + config.tasks[i].name;
    const RunConfig own = config_of_task(config, i);
    COPPICE_TRY(RunMaterial task, gather(own, places).within(place));
    COPPICE_TRY(task.warm, warm_data(own.warm_start, task.op.name, known).within(place));
    out.tasks.push_back(std::move(task));
  }
  return out;
}

Result<SharedMaterial> recall_tasks(const archive::ExperimentLog& log) {
  COPPICE_TRY(const RunStarted started, start_of(log));
  SharedMaterial out;
  out.run = started.run;
  out.allocator_version = started.decision_version;
  COPPICE_TRY(const std::string text, log.blob(started.config).within("archived configuration"));
  COPPICE_TRY(const Json json, Json::parse(text, "archived configuration"));
  COPPICE_TRY(out.config, run_config(json.reader("archived configuration")));
  COPPICE_TRY(const std::string lines, log.blob(started.op).within("archived tasks"));
  std::string_view left = lines;
  while (!left.empty()) {
    const std::size_t end = left.find('\n');
    COPPICE_TRY(const RunStarted task, started_in(left.substr(0, end)).within("archived tasks"));
    COPPICE_TRY(RunMaterial material, recall(log, task));
    out.tasks.push_back(std::move(material));
    left.remove_prefix(end == left.npos ? left.size() : end + 1);
  }
  if (out.tasks.size() != out.config.tasks.size()) {
    return Error{ErrorCode::corrupt,
                 log.directory() + ": expected " + std::to_string(out.config.tasks.size()) +
                     " archived tasks, found " + std::to_string(out.tasks.size())};
  }
  return out;
}

Result<void> store_tasks(archive::ExperimentLog& log, const SharedMaterial& material) {
  RunStarted started;
  started.decision_version = material.allocator_version;
  started.run = material.run;
  started.seed = material.config.seed;
  COPPICE_TRY(started.config, log.put_blob(to_json(material.config).dump()));
  std::string lines;
  for (std::size_t i = 0; i < material.tasks.size(); ++i) {
    COPPICE_TRY(RunStarted task, keep(log, material.tasks[i]));
    task.run = task_run(material.run, material.config.tasks[i]);
    started.tasks.push_back(material.config.tasks[i].name);
    lines += encode(task) + "\n";
  }
  COPPICE_TRY(started.op, log.put_blob(lines));
  const Result<EventSeq> place = log.append(started);
  return place.ok() ? Result<void>() : Result<void>(place.error());
}

Result<search::Allocator> allocator_of(const RunConfig& config) {
  search::AllocatorSetup setup;
  setup.budget = config.search.budget;
  for (const TaskConfig& task : config.tasks) {
    setup.tasks.push_back({task.name, task.weight});
  }
  return search::Allocator::create(std::move(setup));
}

std::string task_run(const std::string& run, const TaskConfig& task) {
  return run + "/" + task.name;
}

Result<bool> has_tasks(const archive::ExperimentLog& log) {
  COPPICE_TRY(const RunStarted started, start_of(log));
  return !started.tasks.empty();
}

}  // namespace coppice::cli
