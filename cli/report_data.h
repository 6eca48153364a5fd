// report_data: what the report page draws, from a run's archive.
#pragma once

#include "cli/run_answer.h"
#include "cli/run_reader.h"
#include "core/json.h"
#include "search/engine.h"

#include <vector>

namespace coppice::cli {

// `engine`: as it stood at the end, for frontier and mutators; null where it could not be had.
// `compared`: the runs of `--compare`.
Result<Json> report_data(const RunReader& run,
                         const search::Engine* engine,
                         const std::vector<Against>& against,
                         const std::vector<RunReader>& compared);

}  // namespace coppice::cli
