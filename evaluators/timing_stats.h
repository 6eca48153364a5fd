// Statistics of timings: intervals from ranks, paired comparison, when to stop, what may be
// claimed.
//
// Nothing here reads a clock; samples come in, numbers go out. All intervals are 95 %.
#pragma once

#include "core/json.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace coppice::evaluators {

struct Interval {
  double median = 0.0, low = 0.0, high = 0.0;
  double half_width() const { return 0.5 * (high - low); }
};

// The median with an interval from order statistics (binomial ranks, interpolated between
// neighbours after Hettmansperger and Sheather): no assumption on the distribution's shape. Below 6
// samples the interval is the whole range, widened by it on both sides.
Interval median_interval(std::span<const double> samples);

struct Spread {
  double median = 0.0, p10 = 0.0, p90 = 0.0, min = 0.0, mad = 0.0;
  std::int64_t samples = 0;
};
Spread spread(std::span<const double> samples);

// One A/B pair: both launches saw the same values, one shortly after the other.
struct Pair {
  double candidate = 0.0;  // seconds
  double baseline = 0.0;
};

// ln(baseline / candidate): positive is faster. Pairs cancel drift; the median forgives outliers.
struct PairedResult {
  Interval log_ratio;
  double noise = 0.0;  // standard error of the median, from the interval
  std::int64_t pairs = 0;
  bool bimodal =
      false;  // two well separated groups of log ratios: the interval is honest, but look
};
PairedResult paired(std::span<const Pair> pairs);

// When a block of pairs is long enough.
struct StopRule {
  std::int64_t min_pairs = 20;
  std::int64_t max_pairs = 400;
  double half_width = 0.02;      // of the log ratio's interval
  std::int64_t check_every = 4;  // looking after each pair would bias the interval
};
bool enough(std::span<const Pair> pairs, const StopRule& rule);

// True when the candidate can't be as good as `target` (a log ratio): the whole interval lies below
// it by more than `margin`. Needs at least 4 pairs.
bool hopeless(std::span<const Pair> pairs, double target, double margin);

// What may be said about a comparison. `aa_half_width`: the interval's half width when both sides
// are the same program; the smallest claimable difference is max(1 %, 2 * that).
enum class Claim { same, faster, slower, ambiguous };
Claim claim(const Interval& log_ratio, double aa_half_width);
std::string_view to_text(Claim claim);

// Geometric mean over workloads of paired speed-ups: the mean of their medians, independent errors
// added in squares.
Interval combine(std::span<const Interval> log_ratios);

// SOL score of one workload: 1 / (1 + (T - sol)/(T_b - sol)); see the verification rules,
// section 4.
double sol_score(double seconds, double sol, double baseline);

Json to_json(const Spread& spread);

}  // namespace coppice::evaluators
