// The frozen baselines of a run, chosen or not, for people and scripts.
#pragma once

#include "cli/run_reader.h"
#include "core/json.h"

#include <string>

namespace coppice::cli {

// By workload, the fastest first: {workload, name, median_us, chosen, prepacked}, with "absent" or
// "refused" (why there is no time) where that is so.
Json opponents_json(const RunReader& run);

// The same as a table; empty where the run froze none.
std::string opponents_text(const RunReader& run);

}  // namespace coppice::cli
