// frontier_csv, frontier_json: which levels of which axes were tried, and what they brought.
#pragma once

#include "core/json.h"
#include "search/search_config.h"

#include <string>
#include <vector>

namespace coppice::cli {

// template,axis,kind,level,state,attempts,valid,best_log_cost,best_speedup,expected_gain
// There is a speed-up only against a baseline.
std::string frontier_csv(const std::vector<search::FrontierEntry>& entries, bool against_baseline);
Json frontier_json(const std::vector<search::FrontierEntry>& entries, bool against_baseline);

}  // namespace coppice::cli
