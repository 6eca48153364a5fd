// simulate: plays a search strategy on a recorded table, where evaluating a point is a look-up.
#pragma once

#include "cli/model_fit.h"
#include "core/executor.h"
#include "core/json.h"
#include "evaluators/recorded_table.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::cli {

// Evaluations after which a search is judged.
inline constexpr std::array<std::int64_t, 5> kSimulationMarks = {20, 50, 100, 200, 400};

// The names that simulate() knows: those of the engine that search, and the references. Besides
// them "log_order", which needs logs: no search, their order alone.
const std::vector<std::string>& simulated_strategies();

struct SimulationOptions {
  std::string strategy = "coppice";
  std::int64_t budget = 400;  // unique evaluations; failures count
  int seeds = 25;
  std::uint64_t seed = 0;  // seed i of the series is the i-th number of a stream at this address
  int lanes = 1;           // attempts in flight; of the engine's own strategies
  std::vector<Json> warm;  // a planner::WarmSource each; for strategy coppice alone
  std::vector<std::string> off;  // switches (docs/config.md) of strategy coppice that are false
};

// One search. `best[i]` is the lowest time (ms) after i + 1 unique evaluations, infinity before the
// first valid one.
struct SimulatedSearch {
  std::uint64_t seed = 0;
  std::vector<double> best;
  double planner_seconds = 0.0;  // processor time besides the look-ups
  Coverage coverage;             // of predictions after the first 50 evaluations
};

struct Simulation {
  std::string table, strategy;
  std::vector<std::string> warm;  // names of the sources
  std::vector<std::string> off;   // parts that were not used
  std::size_t configurations = 0, valid = 0;
  std::int64_t budget = 0;
  int lanes = 1;
  double optimum = 0.0;  // ms
  std::vector<SimulatedSearch> searches;
};

// Plays all seeds, side by side on `executor`, each search on one thread. Deterministic but for the
// seconds. Errors: an unknown strategy, warm-start data for one that can't use it.
Result<Simulation> simulate(const evaluators::RecordedTable& table,
                            const SimulationOptions& options,
                            Executor& executor);

// Fraction of the optimum (optimum / best) after `evaluations`; a search that ended sooner (the
// whole table was tried) keeps its last. 0 without a valid evaluation.
double fraction_at(const Simulation& simulation,
                   const SimulatedSearch& search,
                   std::int64_t evaluations);
// Evaluations until a time within `share` of the optimum (0.05: at most 1.05 times as long).
std::optional<std::int64_t> evaluations_to(const Simulation& simulation,
                                           const SimulatedSearch& search,
                                           double share);

// What the seeds show together. By mark; a mark beyond the budget is absent.
struct SimulationSummary {
  std::array<std::optional<double>, kSimulationMarks.size()> fraction, worst;  // mean, lowest seed
  std::optional<double> median_to_5pct, median_to_1pct;  // absent: half never got there
  double within_5pct_at_200 = 0.0;                       // share of the seeds
  double planner_ms_per_evaluation = 0.0;
  Coverage coverage;  // of all seeds
};
SimulationSummary summarise(const Simulation& simulation);

// {"table", "strategy", "warm", "off", "seeds", "configurations", "valid", "optimum", "budget",
// "fraction"
// {"20":
//  .., null beyond the budget}, "worst" {the same}, "median_to_5pct", "median_to_1pct",
//  "within_5pct_at_200", "planner_ms_per_evaluation", "lanes",
//  "coverage_after_50" {"predictions", "inside_50", "inside_80", "inside_95"},
//  "per_seed" [{"seed", "evaluations", "fraction", "to_5pct", "to_1pct",
//  "planner_ms_per_evaluation"}]}
Json to_json(const Simulation& simulation);

}  // namespace coppice::cli
