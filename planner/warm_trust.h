// WarmTrust: how far the sources of a warm start are believed, by what was measured here since.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace coppice::planner {

// What a source said of a point, and what was measured there.
struct Comparison {
  std::span<const double> slow;  // by source
  double log_cost = 0.0;
};

struct WarmTrust {
  std::vector<double> rank_correlation;  // by source, as measured
  std::vector<double> trust;             // the same with what was believed before, -1 to 1
  std::vector<double> weight;            // share in the common expectation; they sum to 1
  double slope = 1.0;                    // log cost per unit of the common expectation
  bool held = false;                     // false: the search goes on as if there were no source

  // The common expectation: log cost but for a constant; 0 where nothing is held.
  double expect(std::span<const double> slow) const;
};

// `believed`: the rank correlation that each source is believed to have before anything is
// measured; 0 for an unusable one. A source whose ranks do not agree with what was measured loses
// its weight; when none is left, all are let go.
WarmTrust judge_warm(std::span<const Comparison> comparisons, std::span<const double> believed);

// What is to be believed of sources that say this of the same points (`slow` by point, then
// source): more of those that agree with the rest.
std::vector<double> beliefs_in(std::span<const double> slow, const std::vector<bool>& usable);

// Spearman's, ties by mean rank; 0 where one side does not vary.
double rank_correlation(std::span<const double> a, std::span<const double> b);

}  // namespace coppice::planner
