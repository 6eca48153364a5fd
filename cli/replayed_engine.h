// replayed_engine: the engine as it stood at the end of a run's log, for what only it can show.
#pragma once

#include "cli/run_reader.h"
#include "core/executor.h"
#include "search/engine.h"

namespace coppice::cli {

// Feeds the log's inputs to a fresh engine. Error environment when the log was decided by another
// version than this program's.
Result<search::Engine> replayed_engine(const RunReader& run, Executor& executor);

}  // namespace coppice::cli
