// run_answer: what a run came to, as the one object of `run --json` (stable, versioned) and as
// text.
#pragma once

#include "cli/run_reader.h"
#include "core/json.h"

#include <optional>
#include <string>
#include <vector>

namespace coppice::cli {

// How much faster this run's winner is than another's, and where the number comes from.
struct Against {
  std::string strategy;
  std::string run;
  std::optional<double> ratio;  // absent: the other run has no valid candidate
  std::string basis;  // "paired": winners timed again in turn; "baseline": same frozen one
};

// {"schema":1,"run","op","suite","target","strategy","seed","attempts","valid",
//  "best":{"candidate","label","precision","speedup","speedup_low","speedup_high","sol_score",
//  "baseline","over_default","over_random","basis":{..}},"rejected":{class: n},"seconds","archive",
//  "stop_reason","compared":[..]}; best is null when nothing was valid.
Json run_answer(const RunReader& run, const std::vector<Against>& against);
// The same in a few lines for a person.
std::string run_summary_text(const RunReader& run, const std::vector<Against>& against);

// From the runs' own logs: both against the frozen baseline.
Against against_by_baseline(const RunReader& run, const RunReader& other);
// Kept beside the log as comparison.json by `run --compare`.
Result<std::vector<Against>> read_comparison(const std::string& directory);
Result<void> write_comparison(const std::string& directory, const std::vector<Against>& against);

}  // namespace coppice::cli
