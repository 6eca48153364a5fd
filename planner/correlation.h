// The kernel of the Gaussian process: how alike two encoded points are expected to perform.
#pragma once

#include <cstddef>
#include <span>

namespace coppice::planner {

// Candidates are kept in blocks of this many, one coordinate after the other, so that loops run
// over neighbours in memory. What a lane computes never depends on the other lanes. Single
// precision: what is kept of 20,000 points is read anew after each observation, so that its size is
// the time.
inline constexpr std::size_t kBlock = 64;

// exp(-t) for t >= 0, to 1e-12 of its value; the same bits everywhere, and cheap in loops.
double exp_negative(double t);

// Matern-5/2 of a squared distance: (1 + t + t^2/3) exp(-t) with t = sqrt(5 r2); 1 at r2 = 0.
double matern52(double squared_distance);
// d matern52 / d r2.
double matern52_slope(double squared_distance);

// out[i] = matern52(sum over d of weight[d] (x[d] - block[d * kBlock + i])^2) for i < kBlock.
void correlate(std::span<const double> x,
               std::span<const double> weight,
               const float* block,
               float* out);

// The same with the plain loops, or with the widest that the processor has: for a test that shows
// that the bits are the same.
enum class Lanes { plain, widest };
void correlate_in(Lanes lanes,
                  std::span<const double> x,
                  std::span<const double> weight,
                  const float* block,
                  float* out);

}  // namespace coppice::planner
