// Rank statistics on small samples; exact binomial probabilities, no tables.

#include "evaluators/timing_stats.h"

#include "core/check.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coppice::evaluators {
namespace {

constexpr double kConfidence = 0.95;
constexpr double kNormal95 = 1.959964;

std::vector<double> sorted(std::span<const double> samples) {
  std::vector<double> out(samples.begin(), samples.end());
  std::sort(out.begin(), out.end());
  return out;
}

double quantile(const std::vector<double>& ordered, double q) {
  if (ordered.empty()) {
    return 0.0;
  }
  const double at = q * static_cast<double>(ordered.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, ordered.size() - 1);
  return ordered[below] + (at - static_cast<double>(below)) * (ordered[above] - ordered[below]);
}

// P(Binomial(n, 1/2) <= k), summed in logarithms so that n in the thousands is fine.
double binomial_cdf(std::size_t n, std::size_t k) {
  double total = 0.0;
  double log_choose = 0.0;
  const double log_half_n = static_cast<double>(n) * std::log(0.5);
  for (std::size_t i = 0; i <= k; ++i) {
    total += std::exp(log_choose + log_half_n);
    log_choose += std::log(static_cast<double>(n - i)) - std::log(static_cast<double>(i + 1));
  }
  return total;
}

// Coverage of [x_(k), x_(n-k+1)] for the median, k from 1.
double coverage(std::size_t n, std::size_t k) {
  return 1.0 - 2.0 * binomial_cdf(n, k - 1);
}

// Largest k whose interval still covers at least 95 %.
std::size_t outer_rank(std::size_t n) {
  std::size_t k = 1;
  if (n > 60) {  // start near the normal approximation
    const double guess = 0.5 * (static_cast<double>(n) - kNormal95 * std::sqrt(double(n))) - 2.0;
    k = std::max<std::size_t>(1, static_cast<std::size_t>(std::max(guess, 1.0)));
    while (k > 1 && coverage(n, k) < kConfidence) {
      --k;
    }
  }
  while (k + 1 <= n / 2 && coverage(n, k + 1) >= kConfidence) {
    ++k;
  }
  return k;
}

// Two groups with a gap much wider than the groups themselves, each with at least a fifth.
bool two_groups(const std::vector<double>& ordered) {
  if (ordered.size() < 10) {
    return false;
  }
  const std::size_t fifth = ordered.size() / 5;
  double best_gap = 0.0;
  std::size_t split = 0;
  for (std::size_t i = fifth; i + fifth < ordered.size(); ++i) {
    if (ordered[i] - ordered[i - 1] > best_gap) {
      best_gap = ordered[i] - ordered[i - 1];
      split = i;
    }
  }
  if (split == 0) {
    return false;
  }
  const double lower = ordered[split - 1] - ordered[split / 10];
  const double upper = ordered[ordered.size() - 1 - (ordered.size() - split) / 10] - ordered[split];
  return best_gap > 2.0 * std::max(lower, upper) && best_gap > 0.01;
}

}  // namespace

Interval median_interval(std::span<const double> samples) {
  if (samples.empty()) {
    return {};
  }
  const std::vector<double> x = sorted(samples);
  const std::size_t n = x.size();
  const double median = quantile(x, 0.5);
  if (n < 6) {
    const double range = x.back() - x.front();
    return {median, x.front() - range, x.back() + range};
  }
  const std::size_t k = outer_rank(n);
  const double outer = coverage(n, k);
  if (k + 1 > n / 2) {
    return {median, x[k - 1], x[n - k]};
  }
  const double inner = coverage(n, k + 1);
  const double share = (outer - kConfidence) / (outer - inner);
  const auto nk = static_cast<double>(n - k);
  const double weight =
      nk * share / (static_cast<double>(k) + (nk - static_cast<double>(k)) * share);
  return {median,
          (1.0 - weight) * x[k - 1] + weight * x[k],
          (1.0 - weight) * x[n - k] + weight * x[n - k - 1]};
}

Spread spread(std::span<const double> samples) {
  if (samples.empty()) {
    return {};
  }
  const std::vector<double> x = sorted(samples);
  Spread out;
  out.median = quantile(x, 0.5);
  out.p10 = quantile(x, 0.1);
  out.p90 = quantile(x, 0.9);
  out.min = x.front();
  out.samples = static_cast<std::int64_t>(x.size());
  std::vector<double> deviation;
  deviation.reserve(x.size());
  for (const double value : x) {
    deviation.push_back(std::fabs(value - out.median));
  }
  std::sort(deviation.begin(), deviation.end());
  out.mad = quantile(deviation, 0.5);
  return out;
}

PairedResult paired(std::span<const Pair> pairs) {
  std::vector<double> ratios;
  ratios.reserve(pairs.size());
  for (const Pair& pair : pairs) {
    if (pair.candidate > 0.0 && pair.baseline > 0.0) {
      ratios.push_back(std::log(pair.baseline / pair.candidate));
    }
  }
  PairedResult out;
  out.log_ratio = median_interval(ratios);
  out.noise = out.log_ratio.half_width() / kNormal95;
  out.pairs = static_cast<std::int64_t>(ratios.size());
  out.bimodal = two_groups(sorted(ratios));
  return out;
}

bool enough(std::span<const Pair> pairs, const StopRule& rule) {
  const auto n = static_cast<std::int64_t>(pairs.size());
  if (n >= rule.max_pairs) {
    return true;
  }
  if (n < rule.min_pairs ||
      (n - rule.min_pairs) % std::max<std::int64_t>(rule.check_every, 1) != 0) {
    return false;
  }
  return paired(pairs).log_ratio.half_width() <= rule.half_width;
}

bool hopeless(std::span<const Pair> pairs, double target, double margin) {
  if (pairs.size() < 4) {
    return false;
  }
  const PairedResult result = paired(pairs);
  return result.log_ratio.high + margin < target;
}

Claim claim(const Interval& log_ratio, double aa_half_width) {
  const double smallest = std::max(std::log1p(0.01), 2.0 * aa_half_width);
  if (log_ratio.low > 0.0 && log_ratio.median >= smallest) {
    return Claim::faster;
  }
  if (log_ratio.high < 0.0 && log_ratio.median <= -smallest) {
    return Claim::slower;
  }
  if (log_ratio.low > -smallest && log_ratio.high < smallest) {
    return Claim::same;
  }
  return Claim::ambiguous;
}

std::string_view to_text(Claim claim) {
  switch (claim) {
    case Claim::same:
      return "same";
    case Claim::faster:
      return "faster";
    case Claim::slower:
      return "slower";
    case Claim::ambiguous:
      return "ambiguous";
  }
  COPPICE_UNREACHABLE();
}

Interval combine(std::span<const Interval> log_ratios) {
  if (log_ratios.empty()) {
    return {};
  }
  const auto n = static_cast<double>(log_ratios.size());
  double sum = 0.0;
  double below = 0.0;
  double above = 0.0;
  for (const Interval& each : log_ratios) {
    sum += each.median;
    below += (each.median - each.low) * (each.median - each.low);
    above += (each.high - each.median) * (each.high - each.median);
  }
  return {sum / n, (sum - std::sqrt(below)) / n, (sum + std::sqrt(above)) / n};
}

double sol_score(double seconds, double sol, double baseline) {
  if (baseline <= sol) {
    return seconds <= sol ? 1.0 : 0.0;
  }
  return 1.0 / (1.0 + (seconds - sol) / (baseline - sol));
}

Json to_json(const Spread& s) {
  Json out = Json::object();
  out.set("median", s.median).set("p10", s.p10).set("p90", s.p90).set("min", s.min);
  out.set("mad", s.mad).set("samples", s.samples);
  return out;
}

}  // namespace coppice::evaluators
