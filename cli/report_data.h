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

// How good the predictions were that stood in the log before their measurements.
struct ModelFit {
  std::size_t predictions = 0;
  double rank_correlation = 0.0;  // Spearman's, ties at their mean rank
  double inside_50 = 0.0, inside_95 = 0.0;
};
ModelFit model_fit(const archive::RunFold& fold);

}  // namespace coppice::cli
