// Holds a run's log and those of its tasks against each other.
#include "archive/task_logs.h"

#include "archive/durable_file.h"
#include "archive/log_state.h"

#include <fmt/format.h>

#include <map>

namespace coppice::archive {
namespace {

std::string folder_of(const ExperimentLog& log, const std::string& task) {
  return log.directory() + "/" + std::string(kTasksFolder) + "/" + task;
}

}  // namespace

Result<std::vector<std::string>> task_logs(const ExperimentLog& log) {
  std::vector<std::string> out;
  COPPICE_TRY(const std::uint64_t events, log.size());
  if (events == 0) {
    return out;
  }
  COPPICE_TRY(const LogRow row, log.row(EventSeq{1}));
  COPPICE_TRY(const Event event, decode(row.bytes));
  const auto* started = std::get_if<RunStarted>(&event);
  if (started == nullptr) {
    return out;
  }
  for (const std::string& task : started->tasks) {
    if (exists(folder_of(log, task) + "/" + std::string(kLogFile))) {
      out.push_back(task);
    }
  }
  return out;
}

Result<void> check_task_logs(const ExperimentLog& log) {
  std::map<std::string, ExperimentLog> open;
  COPPICE_TRY(const std::vector<std::string> tasks, task_logs(log));
  if (tasks.empty()) {
    return {};
  }
  return log.visit(EventSeq{1}, [&](const LogRow& row) -> Result<bool> {
    COPPICE_TRY(const Event event, decode(row.bytes));
    const auto* slice = std::get_if<SliceEnded>(&event);
    if (slice == nullptr || slice->events == 0) {
      return true;
    }
    auto found = open.find(slice->task);
    if (found == open.end()) {
      COPPICE_TRY(ExperimentLog task,
                  ExperimentLog::open(folder_of(log, slice->task), ExperimentLog::Mode::read));
      found = open.emplace(slice->task, std::move(task)).first;
    }
    const auto place = found->second.row(EventSeq{slice->events});
    if (!place.ok() || place->chain != slice->head) {
      return Error{ErrorCode::corrupt,
                   fmt::format("event {}: task {} has another history than the one noted here "
                               "({} events)",
                               row.seq.value,
                               slice->task,
                               slice->events)};
    }
    return true;
  });
}

}  // namespace coppice::archive
