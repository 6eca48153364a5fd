// Matern-5/2 from + - * / sqrt alone, in loops that a compiler may run several lanes wide.
#include "planner/correlation.h"

#include "planner/wide.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace coppice::planner {

namespace {

constexpr double kMost = 700.0;
COPPICE_LANES double bounded(double t) {
  return t < kMost ? t : kMost;
}

// exp(-t) for 0 <= t <= kMost, to 3e-13: 2^-k times a Taylor series on |r| <= ln 2 / 2, without
// branches.
COPPICE_LANES double decay_of_bounded(double t) {
  constexpr double kInverseLn2 = 1.44269504088896338700;
  constexpr double kLn2High = 6.93147180369123816490e-01;
  constexpr double kLn2Low = 1.90821492927058770002e-10;
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to a whole number
  const double shifted = t * kInverseLn2 + kRound;
  const double k = shifted - kRound;
  const double r = -((t - k * kLn2High) - k * kLn2Low);
  double sum = 1.0 / 39916800.0;
  sum = sum * r + 1.0 / 3628800.0;
  sum = sum * r + 1.0 / 362880.0;
  sum = sum * r + 1.0 / 40320.0;
  sum = sum * r + 1.0 / 5040.0;
  sum = sum * r + 1.0 / 720.0;
  sum = sum * r + 1.0 / 120.0;
  sum = sum * r + 1.0 / 24.0;
  sum = sum * r + 1.0 / 6.0;
  sum = sum * r + 0.5;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  // The low bits of `shifted` hold k.
  const std::uint64_t whole = std::bit_cast<std::uint64_t>(shifted);
  return sum * std::bit_cast<double>((std::uint64_t{1023} - whole) << 52U);
}

inline double decay(double t) {
  return decay_of_bounded(bounded(t));
}

inline double matern(double r2) {
  const double t = std::sqrt(5.0 * r2);
  return (1.0 + t + t * t * (1.0 / 3.0)) * decay(t);
}

COPPICE_LANES void correlate_lanes(const double* x,
                                   const double* weight,
                                   std::size_t width,
                                   const double* __restrict block,
                                   double* __restrict out) {
  double r2[kBlock] = {};
  for (std::size_t d = 0; d < width; ++d) {
    const double* coordinate = block + d * kBlock;
    const double at = x[d];
    const double w = weight[d];
    for (std::size_t i = 0; i < kBlock; ++i) {
      const double difference = at - coordinate[i];
      r2[i] += w * difference * difference;
    }
  }
  // Three loops, each simple enough to run several lanes wide; the same steps as matern().
  double t[kBlock];
  for (std::size_t i = 0; i < kBlock; ++i) {
    t[i] = std::sqrt(5.0 * r2[i]);
  }
  for (std::size_t i = 0; i < kBlock; ++i) {
    out[i] = bounded(t[i]);
  }
  for (std::size_t i = 0; i < kBlock; ++i) {
    out[i] = (1.0 + t[i] + t[i] * t[i] * (1.0 / 3.0)) * decay_of_bounded(out[i]);
  }
}

COPPICE_WIDE void correlate_wide(
    const double* x, const double* weight, std::size_t width, const double* block, double* out) {
  correlate_lanes(x, weight, width, block, out);
}

void correlate_plain(
    const double* x, const double* weight, std::size_t width, const double* block, double* out) {
  correlate_lanes(x, weight, width, block, out);
}

}  // namespace

double exp_negative(double t) {
  return decay(t);
}

double matern52(double squared_distance) {
  return matern(squared_distance);
}

double matern52_slope(double squared_distance) {
  const double t = std::sqrt(5.0 * squared_distance);
  return -(5.0 / 6.0) * (1.0 + t) * decay(t);
}

void correlate(std::span<const double> x,
               std::span<const double> weight,
               const double* block,
               double* out) {
  (wide_lanes() ? correlate_wide : correlate_plain)(x.data(), weight.data(), x.size(), block, out);
}

void correlate_in(Lanes lanes,
                  std::span<const double> x,
                  std::span<const double> weight,
                  const double* block,
                  double* out) {
  const bool wide = lanes == Lanes::widest && wide_lanes();
  (wide ? correlate_wide : correlate_plain)(x.data(), weight.data(), x.size(), block, out);
}

}  // namespace coppice::planner
