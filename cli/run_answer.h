// run_answer: what a run came to, as the one object of `run --json` (stable, versioned) and as
// text.
#pragma once

#include "archive/comparison_file.h"
#include "cli/run_reader.h"
#include "core/json.h"

#include <optional>
#include <string>
#include <vector>

namespace coppice::cli {

using Against = archive::ComparedRun;

// {"schema":1,"run","op","suite","target","strategy","seed","attempts","valid",
//  "best":{"candidate","label","precision","speedup","speedup_low","speedup_high","sol_score",
//  "baseline","over_default","over_random","basis":{..},"counters":{..},"memory_check":{..}},
//  (the last two only where a device has them)
//  "rejected":{class:
//  n},"speed":{..},"seconds","archive", "stop_reason","compared":[..]}; best is null when nothing
//  was valid.
Json run_answer(const RunReader& run, const std::vector<Against>& against);
// The same in a few lines for a person.
std::string run_summary_text(const RunReader& run, const std::vector<Against>& against);

// Attempts of the search until the run first had a result as good as `log_cost`; nothing: never.
std::optional<std::int64_t> attempts_until(const RunReader& run, double log_cost);

// From the runs' own logs: both against the frozen baseline.
Against against_by_baseline(const RunReader& run, const RunReader& other);

}  // namespace coppice::cli
