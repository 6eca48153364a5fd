// engine_at_end: the engine as it stood at the end of a run's log, for what only it can show.
#pragma once

#include "cli/console.h"
#include "cli/run_reader.h"
#include "core/executor.h"
#include "search/engine.h"

namespace coppice::cli {

// Follows the log's decisions instead of making them again, which would take as long as they took.
// An Error names the event that can't be followed.
// A run that another version decided is said so: its expected gains are this program's.
Result<search::Engine> engine_at_end(const RunReader& run, Executor& executor, Console& console);

}  // namespace coppice::cli
