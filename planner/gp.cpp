// Cholesky by rows, and forward substitution for a block of candidates at a time.
#include "planner/gp.h"

#include "core/check.h"
#include "planner/wide.h"

#include <algorithm>
#include <cmath>

namespace coppice::planner {

namespace {

constexpr std::size_t kSpareRows = 64;  // that a block grows by

std::size_t packed(std::size_t row) {
  return row * (row + 1) / 2;
}

// One step of forward substitution: out = (out - sum of l[j] v[j]) / l[rows], in the order of j.
// Four rows a pass, which saves memory traffic and changes no bit.
COPPICE_LANES void substitute_lanes(const float* l,
                                    std::size_t rows,
                                    const float* __restrict solved,
                                    float* __restrict out) {
  std::size_t j = 0;
  for (; j + 4 <= rows; j += 4) {
    const float* v = solved + j * kBlock;
    for (std::size_t i = 0; i < kBlock; ++i) {
      out[i] = out[i] - l[j] * v[i] - l[j + 1] * v[kBlock + i] - l[j + 2] * v[2 * kBlock + i] -
               l[j + 3] * v[3 * kBlock + i];
    }
  }
  for (; j < rows; ++j) {
    const float* v = solved + j * kBlock;
    for (std::size_t i = 0; i < kBlock; ++i) {
      out[i] -= l[j] * v[i];
    }
  }
  const float scale = 1.0F / l[rows];
  for (std::size_t i = 0; i < kBlock; ++i) {
    out[i] *= scale;
  }
}

COPPICE_WIDE void substitute_wide(const float* l,
                                  std::size_t rows,
                                  const float* solved,
                                  float* out) {
  substitute_lanes(l, rows, solved, out);
}

void substitute_plain(const float* l, std::size_t rows, const float* solved, float* out) {
  substitute_lanes(l, rows, solved, out);
}

COPPICE_LANES void add_lanes(const float* __restrict v,
                             double target,
                             double* __restrict mean,
                             double* __restrict explained) {
  for (std::size_t i = 0; i < kBlock; ++i) {
    const double solved = v[i];
    mean[i] += solved * target;
    explained[i] += solved * solved;
  }
}

COPPICE_WIDE void add_wide(const float* v, double target, double* mean, double* explained) {
  add_lanes(v, target, mean, explained);
}

void add_plain(const float* v, double target, double* mean, double* explained) {
  add_lanes(v, target, mean, explained);
}

}  // namespace

GaussianProcess::GaussianProcess(GpShape shape, std::size_t width)
    : shape_(std::move(shape)), width_(width) {
  COPPICE_CHECK(shape_.weight.size() == width && shape_.nugget > 0.0);
}

std::span<const double> GaussianProcess::x(std::size_t row) const {
  return {points_.data() + row * width_, width_};
}

std::span<const double> GaussianProcess::factor(std::size_t row) const {
  return {factor_.data() + packed(row), row + 1};
}

std::span<const float> GaussianProcess::narrow_factor(std::size_t row) const {
  return {narrow_.data() + packed(row), row + 1};
}

double GaussianProcess::settle(double target, std::size_t row) const {
  const std::span<const double> l = factor(row);
  double rest = target;
  for (std::size_t j = 0; j < row; ++j) {
    rest -= l[j] * whitened_[j];
  }
  return rest / diagonal_[row];
}

void GaussianProcess::append(std::span<const double> x_new,
                             double extra_noise,
                             std::optional<double> target) {
  COPPICE_CHECK(x_new.size() == width_);
  points_.insert(points_.end(), x_new.begin(), x_new.end());
  noise_.push_back(extra_noise);
  factorise_row(rows());
  if (target) {
    settle_next(*target);
  }
}

void GaussianProcess::factorise_row(std::size_t n) {
  const double* x_new = points_.data() + n * width_;
  const std::size_t start = packed(n);
  factor_.resize(packed(n + 1));
  double* l = factor_.data() + start;
  double rest = 1.0 + shape_.nugget + noise_[n];
  for (std::size_t j = 0; j < n; ++j) {
    double r2 = 0.0;
    for (std::size_t d = 0; d < width_; ++d) {
      const double difference = x_new[d] - points_[j * width_ + d];
      r2 += shape_.weight[d] * difference * difference;
    }
    const double* lj = factor_.data() + packed(j);
    double sum = matern52(r2);
    for (std::size_t k = 0; k < j; ++k) {
      sum -= lj[k] * l[k];
    }
    l[j] = sum / lj[j];
    rest -= l[j] * l[j];
  }
  // The nugget keeps this positive; rounding can't eat more than a hundredth of it.
  l[n] = std::sqrt(std::max(rest, 0.01 * shape_.nugget));
  diagonal_.push_back(l[n]);
  for (std::size_t j = 0; j <= n; ++j) {
    narrow_.push_back(static_cast<float>(l[j]));
  }
}

void GaussianProcess::rest() {
  factor_ = std::vector<double>();  // = {} would keep the room
  narrow_ = std::vector<float>();
}

std::size_t GaussianProcess::bytes() const {
  return factor_.capacity() * sizeof(double) + narrow_.capacity() * sizeof(float);
}

void GaussianProcess::wake() {
  if (!factor_.empty() || rows() == 0) {
    return;
  }
  diagonal_.clear();
  for (std::size_t row = 0; row < noise_.size(); ++row) {
    factorise_row(row);
  }
}

void GaussianProcess::settle_next(double target) {
  COPPICE_CHECK(settled_ < rows());
  whitened_.push_back(settle(target, settled_));
  ++settled_;
}

void GaussianProcess::truncate(std::size_t keep) {
  COPPICE_CHECK(keep >= settled_ && keep <= rows());
  if (keep == rows()) {
    return;
  }
  points_.resize(keep * width_);
  noise_.resize(keep);
  factor_.resize(packed(keep));
  narrow_.resize(packed(keep));
  diagonal_.resize(keep);
  cuts_.push_back(keep);
}

std::size_t GaussianProcess::truncated_to_since(std::size_t& seen) const {
  std::size_t least = rows();
  for (; seen < cuts_.size(); ++seen) {
    least = std::min(least, cuts_[seen]);
  }
  return least;
}

void GpBlock::set(std::size_t lane, std::span<const double> x) {
  for (std::size_t d = 0; d < x.size(); ++d) {
    coordinates_[d * kBlock + lane] = static_cast<float>(x[d]);
  }
}

void GpBlock::reset() {
  rows_ = 0;
  summed_ = 0;
  cuts_seen_ = 0;
  solved_.clear();
  mean_.assign(kBlock, 0.0);
  explained_.assign(kBlock, 0.0);
}

void GpBlock::extend(const GaussianProcess& process) {
  if (mean_.empty()) {
    reset();
  }
  rows_ = std::min(rows_, process.truncated_to_since(cuts_seen_));
  const std::size_t needed = process.rows() * kBlock;
  if (needed > solved_.capacity()) {
    solved_.reserve(needed + kSpareRows * kBlock);  // twice the size would be tens of megabytes
  }
  solved_.resize(needed);
  for (; rows_ < process.rows(); ++rows_) {
    const std::span<const float> l = process.narrow_factor(rows_);
    float* out = solved_.data() + rows_ * kBlock;
    correlate(process.x(rows_), process.shape().weight, coordinates_.data(), out);
    (wide_lanes() ? substitute_wide : substitute_plain)(l.data(), rows_, solved_.data(), out);
  }
  for (; summed_ < process.settled(); ++summed_) {
    const float* v = solved_.data() + summed_ * kBlock;
    (wide_lanes() ? add_wide : add_plain)(
        v, process.whitened(summed_), mean_.data(), explained_.data());
  }
}

void GpBlock::posterior(const GaussianProcess& process, double* mean, double* variance) const {
  COPPICE_CHECK(rows_ == process.rows() && summed_ == process.settled());
  double explained[kBlock];
  std::copy(explained_.begin(), explained_.end(), explained);
  // A pending row counts as measured at its own mean: it explains, and moves no mean.
  for (std::size_t row = summed_; row < rows_; ++row) {
    const float* v = solved_.data() + row * kBlock;
    for (std::size_t i = 0; i < kBlock; ++i) {
      const double solved = v[i];
      explained[i] += solved * solved;
    }
  }
  constexpr double kLeast = 1e-6;
  for (std::size_t i = 0; i < kBlock; ++i) {
    mean[i] = mean_[i];
    variance[i] = std::max(1.0 - explained[i], kLeast);
  }
}

std::size_t GpBlock::bytes() const {
  return (coordinates_.capacity() + solved_.capacity()) * sizeof(float) +
         (mean_.capacity() + explained_.capacity()) * sizeof(double);
}

}  // namespace coppice::planner
