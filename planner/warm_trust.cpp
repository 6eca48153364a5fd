// Rank correlations, shrunk towards what is believed of a log before anything is measured.
#include "planner/warm_trust.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coppice::planner {
namespace {

constexpr double kBelieved = 0.7;  // rank correlation of a log that nothing is known of
constexpr double kLeastBelieved = 0.3, kMostBelieved = 0.9;
constexpr double kBelievedFor = 4.0;  // comparisons that this belief is worth
constexpr double kLeastTrust = 0.25;  // below it a source is not listened to
constexpr double kSlopePrior = 0.15;  // weight of "slope 1", in squared log slow-downs
constexpr double kMostSlope = 1.5;
constexpr double kLeastSlope = 0.1;

std::vector<double> ranks_of(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return values[a] != values[b] ? values[a] < values[b] : a < b;
  });
  std::vector<double> out(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t j = i;
    while (j < order.size() && values[order[j]] == values[order[i]]) {
      ++j;
    }
    for (std::size_t k = i; k < j; ++k) {
      out[order[k]] = 0.5 * static_cast<double>(i + j - 1);
    }
    i = j;
  }
  return out;
}

struct Moments {
  double xx = 0.0, xy = 0.0, yy = 0.0;
};

Moments moments(std::span<const double> x, std::span<const double> y) {
  Moments out;
  if (x.empty()) {
    return out;
  }
  const double n = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  for (std::size_t i = 0; i < x.size(); ++i) {
    out.xx += (x[i] - mean_x) * (x[i] - mean_x);
    out.xy += (x[i] - mean_x) * (y[i] - mean_y);
    out.yy += (y[i] - mean_y) * (y[i] - mean_y);
  }
  return out;
}

double shrunk(double correlation, std::size_t comparisons, double believed) {
  const double n = static_cast<double>(comparisons);
  return (n * correlation + kBelievedFor * believed) / (n + kBelievedFor);
}

}  // namespace

double rank_correlation(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> ranks_a = ranks_of(a);
  const std::vector<double> ranks_b = ranks_of(b);
  const Moments m = moments(ranks_a, ranks_b);
  return m.xx > 0.0 && m.yy > 0.0 ? m.xy / std::sqrt(m.xx * m.yy) : 0.0;
}

double WarmTrust::expect(std::span<const double> slow) const {
  if (!held) {
    return 0.0;
  }
  double sum = 0.0;
  for (std::size_t s = 0; s < slow.size(); ++s) {
    sum += weight[s] * slow[s];
  }
  return slope * sum;
}

std::vector<double> beliefs_in(std::span<const double> slow, const std::vector<bool>& usable) {
  const std::size_t sources = usable.size();
  std::vector<std::vector<double>> said(sources);
  for (std::size_t i = 0; i < slow.size(); ++i) {
    said[i % sources].push_back(slow[i]);
  }
  std::vector<double> out(sources, 0.0);
  for (std::size_t s = 0; s < sources; ++s) {
    if (!usable[s]) {
      continue;
    }
    std::vector<double> agreement;
    for (std::size_t other = 0; other < sources; ++other) {
      if (usable[other] && other != s) {
        agreement.push_back(rank_correlation(said[s], said[other]));
      }
    }
    if (agreement.size() < 2) {
      out[s] = kBelieved;  // of two that disagree nobody knows which is right
      continue;
    }
    // The half that it agrees with best: a few bad logs must not talk a good one down.
    std::sort(agreement.rbegin(), agreement.rend());
    const std::size_t half = (agreement.size() + 1) / 2;
    const double sum = std::accumulate(
        agreement.begin(), agreement.begin() + static_cast<std::ptrdiff_t>(half), 0.0);
    out[s] = std::clamp(sum / static_cast<double>(half), kLeastBelieved, kMostBelieved);
  }
  return out;
}

WarmTrust judge_warm(std::span<const Comparison> comparisons, std::span<const double> believed) {
  WarmTrust out;
  const std::size_t sources = believed.size();
  const std::size_t n = comparisons.size();
  out.rank_correlation.assign(sources, 0.0);
  out.trust.assign(sources, 0.0);
  out.weight.assign(sources, 0.0);
  std::vector<double> costs;
  for (const Comparison& one : comparisons) {
    costs.push_back(one.log_cost);
  }
  double sum = 0.0;
  for (std::size_t s = 0; s < sources; ++s) {
    if (!(believed[s] > 0.0)) {
      continue;
    }
    std::vector<double> slow;
    for (const Comparison& one : comparisons) {
      slow.push_back(one.slow[s]);
    }
    out.rank_correlation[s] = rank_correlation(slow, costs);
    out.trust[s] = shrunk(out.rank_correlation[s], n < 2 ? 0 : n, believed[s]);
    const double above = std::max(out.trust[s] - kLeastTrust, 0.0);
    out.weight[s] = above * above;
    sum += out.weight[s];
  }
  if (!(sum > 0.0)) {
    return out;
  }
  out.held = true;
  for (double& weight : out.weight) {
    weight /= sum;
  }
  std::vector<double> expected;
  for (const Comparison& one : comparisons) {
    expected.push_back(out.expect(one.slow));
  }
  const Moments m = moments(expected, costs);
  out.slope = std::clamp((m.xy + kSlopePrior) / (m.xx + kSlopePrior), 0.0, kMostSlope);
  out.held = out.slope >= kLeastSlope;
  return out;
}

}  // namespace coppice::planner
