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

// exp(-t) for 0 <= t <= kMost, to 3e-13: 2^-k times a Taylor series on |r| <= ln 2 / 2, without
// branches.
inline double decay_of_bounded(double t) {
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
  return decay_of_bounded(t < kMost ? t : kMost);
}

inline double matern(double r2) {
  const double t = std::sqrt(5.0 * r2);
  return (1.0 + t + t * t * (1.0 / 3.0)) * decay(t);
}

// The same for 0 <= t <= kMostNarrow, to 3e-7.
constexpr float kMostNarrow = 87.0F;
COPPICE_LANES float narrow_decay(float t) {
  constexpr float kInverseLn2 = 1.44269504F;
  constexpr float kLn2High = 6.93359375e-01F;
  constexpr float kLn2Low = -2.12194440e-04F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23
  const float shifted = t * kInverseLn2 + kRound;
  const float k = shifted - kRound;
  const float r = -((t - k * kLn2High) - k * kLn2Low);
  float sum = 1.0F / 5040.0F;
  sum = sum * r + 1.0F / 720.0F;
  sum = sum * r + 1.0F / 120.0F;
  sum = sum * r + 1.0F / 24.0F;
  sum = sum * r + 1.0F / 6.0F;
  sum = sum * r + 0.5F;
  sum = sum * r + 1.0F;
  sum = sum * r + 1.0F;
  const std::uint32_t whole = std::bit_cast<std::uint32_t>(shifted);
  return sum * std::bit_cast<float>((std::uint32_t{127} - whole) << 23U);
}

COPPICE_LANES void correlate_lanes(const double* x,
                                   const double* weight,
                                   std::size_t width,
                                   const float* __restrict block,
                                   float* __restrict out) {
  float r2[kBlock] = {};
  for (std::size_t d = 0; d < width; ++d) {
    const float* coordinate = block + d * kBlock;
    const float at = static_cast<float>(x[d]);
    const float w = static_cast<float>(weight[d]);
    for (std::size_t i = 0; i < kBlock; ++i) {
      const float difference = at - coordinate[i];
      r2[i] += w * difference * difference;
    }
  }
  // Three loops, each simple enough to run several lanes wide; the same steps as matern().
  float t[kBlock];
  for (std::size_t i = 0; i < kBlock; ++i) {
    t[i] = std::sqrt(5.0F * r2[i]);
  }
  for (std::size_t i = 0; i < kBlock; ++i) {
    out[i] = t[i] < kMostNarrow ? t[i] : kMostNarrow;
  }
  for (std::size_t i = 0; i < kBlock; ++i) {
    out[i] = (1.0F + t[i] + t[i] * t[i] * (1.0F / 3.0F)) * narrow_decay(out[i]);
  }
}

COPPICE_WIDE void correlate_wide(
    const double* x, const double* weight, std::size_t width, const float* block, float* out) {
  correlate_lanes(x, weight, width, block, out);
}

void correlate_plain(
    const double* x, const double* weight, std::size_t width, const float* block, float* out) {
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
               const float* block,
               float* out) {
  (wide_lanes() ? correlate_wide : correlate_plain)(x.data(), weight.data(), x.size(), block, out);
}

void correlate_in(Lanes lanes,
                  std::span<const double> x,
                  std::span<const double> weight,
                  const float* block,
                  float* out) {
  const bool wide = lanes == Lanes::widest && wide_lanes();
  (wide ? correlate_wide : correlate_plain)(x.data(), weight.data(), x.size(), block, out);
}

}  // namespace coppice::planner
