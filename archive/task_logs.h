// The task logs of a run that is made of tasks: which there are, and whether the run's own log
// knows them.
#pragma once

#include "archive/experiment_log.h"

#include <string>
#include <vector>

namespace coppice::archive {

inline constexpr std::string_view kTasksFolder = "tasks";

// Names of the tasks of `log` that have a log of their own below its folder, in the order of
// run_started; none for an ordinary run.
Result<std::vector<std::string>> task_logs(const ExperimentLog& log);

// Every turn that the run's log tells of must be in its task's log: as many events, with the chain
// that was noted. Errors: corrupt, with the place; missing: a task that had a turn has no log.
Result<void> check_task_logs(const ExperimentLog& log);

}  // namespace coppice::archive
