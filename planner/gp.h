// GaussianProcess: exact posterior over encoded points, grown row by row.
#pragma once

#include "planner/correlation.h"

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace coppice::planner {

// The correlation of two points is matern52(sum of weight[d] (x[d] - y[d])^2); on the diagonal the
// noise comes on top, as a share of the signal's variance.
struct GpShape {
  std::vector<double> weight;  // per coordinate: inverse square of its lengthscale
  double nugget = 0.01;
};

// Rows are points: settled ones with a target, then pending ones that wait for theirs. Sums run in
// row order always, so that the bits do not depend on when predictions were asked for. All targets
// have prior mean 0 and prior variance 1.
class GaussianProcess {
 public:
  GaussianProcess(GpShape shape, std::size_t width);

  std::size_t rows() const { return diagonal_.size(); }
  std::size_t settled() const { return settled_; }
  const GpShape& shape() const { return shape_; }
  std::size_t width() const { return width_; }

  // Appends a point; `extra_noise` (share of the signal's variance) comes on top of the nugget.
  // With a target it is settled at once, which needs all rows before it to be settled.
  void append(std::span<const double> x, double extra_noise, std::optional<double> target);
  // Gives the first pending row its target.
  void settle_next(double target);
  // Drops rows from the end. Not below settled().
  void truncate(std::size_t rows);
  // Gives back the factor's memory, which grows with the square of the rows. Before anything is
  // asked or appended again it must wake(), which works it out anew to the bit.
  void rest();
  void wake();
  std::size_t bytes() const;  // of the factor

  std::span<const double> x(std::size_t row) const;
  // Row of the Cholesky factor, rounded: `row` entries, then the diagonal one.
  std::span<const float> narrow_factor(std::size_t row) const;
  // The whitened target (L^-1 y) of a settled row.
  double whitened(std::size_t row) const { return whitened_[row]; }
  // Grows with each truncate(), so that caches notice.
  std::size_t truncated_to_since(std::size_t& seen) const;

 private:
  std::span<const double> factor(std::size_t row) const;
  double settle(double target, std::size_t row) const;
  void factorise_row(std::size_t row);  // the next one

  GpShape shape_;
  std::size_t width_;
  std::size_t settled_ = 0;
  std::vector<double> points_;     // rows * width
  std::vector<double> noise_;      // of each row, on top of the nugget
  std::vector<double> factor_;     // packed lower triangle with the diagonal
  std::vector<float> narrow_;      // the factor, rounded
  std::vector<double> diagonal_;   // of the factor
  std::vector<double> whitened_;   // settled rows
  std::vector<std::size_t> cuts_;  // row counts after each truncate()
};

// A block of kBlock candidates with everything that stays true of them while rows are appended.
// Copyable; brought up to date by extend(), then asked by mean() and variance().
class GpBlock {
 public:
  explicit GpBlock(std::size_t width) : coordinates_(width * kBlock, 0.0F) {}

  void set(std::size_t lane, std::span<const double> x);
  const float* coordinates() const { return coordinates_.data(); }
  // Forgets all rows (after the process was made anew, or a lane was set).
  void reset();
  void extend(const GaussianProcess& process);
  // Of all lanes: posterior mean, and variance of the signal without noise.
  void posterior(const GaussianProcess& process, double* mean, double* variance) const;
  std::size_t bytes() const;

 private:
  std::vector<float> coordinates_;  // one coordinate after the other
  std::vector<float> solved_;       // rows * kBlock: L^-1 k
  std::size_t rows_ = 0;
  std::size_t summed_ = 0;  // settled rows that the sums hold
  std::size_t cuts_seen_ = 0;
  std::vector<double> mean_, explained_;
};

}  // namespace coppice::planner
