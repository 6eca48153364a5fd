// RunStore: the archive folder; where runs lie, how they are named, found and listed.
#pragma once

#include "archive/experiment_log.h"
#include "core/event.h"
#include "core/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::archive {

// One run as `coppice list` shows it: read from the log's first and last events.
struct RunSummary {
  std::string name;
  std::string directory;
  std::optional<RunStarted> start;  // nothing: created, but never started (or not readable)
  Nanoseconds started{};            // wall clock of the first event
  Nanoseconds last_event{};         // wall clock of the newest event
  std::uint64_t events = 0;
  std::uint64_t bytes = 0;         // of the log's files
  std::optional<Stopped> stopped;  // the run has ended (an interrupted one has not)
  std::optional<long> writer;      // pid of the process that is writing it now
  std::string trouble;             // why it could not be read; empty otherwise
};

// <archive>/coppice-archive.json   {"format": 1}
// <archive>/runs/<run name>/       log.sqlite, checkpoints.txt, lock; lineage.git and reports are
//                                  made from these and may be removed
// <run>/tasks/<task>/              the same, of a task that shares the run's budget; it is named
//                                  "<run name>/<task>"
// Names: lower-case letters, digits, "_", "-", ".". Any number of processes may use one archive.
class RunStore {
 public:
  enum class Access { read, create };
  // create: makes the folder when it is missing. Errors: missing, environment (a newer format), io.
  static Result<RunStore> open(const std::string& directory, Access access);

  // Makes the folder of a new run, "<base>-<yyyymmdd>-<n>" with the first free n; safe against
  // other processes. `now` is wall clock since the epoch (UTC date).
  Result<std::string> create_run(std::string_view base, Nanoseconds now) const;
  // Exactly this name; config if it exists or is no name.
  Result<std::string> create_run_named(std::string_view name) const;
  // The folder of a task of `run`, which may be there already. Returns the task's name as a run.
  Result<std::string> create_task(std::string_view run, std::string_view task) const;

  std::string directory_of(std::string_view name) const;
  std::string runs_directory() const;              // <archive>/runs
  Result<std::vector<std::string>> names() const;  // sorted; a run's tasks follow it
  Result<std::vector<RunSummary>> list() const;    // oldest first, ties by name
  Result<RunSummary> summary(std::string_view name) const;
  // A run by its name, a unique beginning of it, or "latest"; its task after a slash, likewise.
  // Errors name what there is.
  Result<std::string> find(std::string_view which) const;
  Result<ExperimentLog> open_run(std::string_view name, ExperimentLog::Mode mode) const;

  const std::string& directory() const { return directory_; }

 private:
  explicit RunStore(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
};

// Lower-case, other characters replaced by "_"; what a run name may begin with.
std::string run_name_base(std::string_view text);
bool is_run_name(std::string_view name);
bool is_task_of_run(std::string_view name);  // "<run>/<task>"

}  // namespace coppice::archive
