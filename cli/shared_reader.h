// SharedReader: a run that is made of tasks, opened for looking.
#pragma once

#include "archive/run_store.h"
#include "cli/archive_folder.h"
#include "cli/run_reader.h"
#include "search/allocator.h"

#include <optional>
#include <string>
#include <vector>

namespace coppice::cli {

// One decision of the allocator, and what came of it.
struct TurnRecord {
  EventSeq seq;
  Nanoseconds at{};  // running time of the run
  Allocated allocated;
  std::optional<SliceEnded> ended;  // absent: under way, or cut off by an interruption
};

struct SharedTaskView {
  TaskConfig config;
  search::TaskStanding standing;
  std::optional<RunReader> run;  // absent: it had no turn yet, or can't be read
  std::string trouble;
};

class SharedReader {
 public:
  static Result<SharedReader> open(const archive::RunStore& store, const std::string& name);

  const std::string& name() const { return name_; }
  const std::string& archive_path() const { return archive_; }
  const std::string& directory() const { return directory_; }
  const RunConfig& config() const { return config_; }
  const std::vector<SharedTaskView>& tasks() const { return tasks_; }
  const std::vector<TurnRecord>& turns() const { return turns_; }
  const std::optional<Stopped>& stopped() const { return stopped_; }
  Nanoseconds elapsed() const { return elapsed_; }
  std::int64_t sessions() const { return sessions_; }
  std::int64_t attempts() const;
  std::int64_t valid() const;
  bool by_time() const { return config_.search.budget.seconds.count() > 0; }

 private:
  Result<void> read_log(const archive::ExperimentLog& log);
  void take(const archive::LogRow& row, const Event& event);

  std::string name_, archive_, directory_;
  RunConfig config_;
  std::vector<SharedTaskView> tasks_;
  std::vector<TurnRecord> turns_;
  std::optional<Stopped> stopped_;
  Nanoseconds elapsed_{};
  std::int64_t sessions_ = 1;
};

// Whether the run that a command line means is made of tasks; nothing where it can't be read.
Result<std::optional<std::string>> shared_run_named(const Arguments& arguments);

}  // namespace coppice::cli
