// Marginal likelihood with its gradient, climbed by Rprop: signs and step sizes only, so that the
// scale of the data does not matter.
#include "planner/gp_fit.h"

#include "core/check.h"
#include "core/pinned_math.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace coppice::planner {

namespace {

constexpr double kAmplitudePrior = 4.0;  // weight, in observations, of "the amplitude is 1"
constexpr double kLeastNugget = -9.2, kMostNugget = 0.7;
constexpr double kLeastLength = -3.0, kMostLength = 4.0;

// Everything that one evaluation of the likelihood needs room for.
class Likelihood {
 public:
  Likelihood(const GpData& data, const GpPrior& prior)
      : data_(data), prior_(prior), n_(data.targets.size()) {
    pairs_.resize(data.groups * n_ * (n_ - 1) / 2, 0.0);
    const std::size_t count = n_ * (n_ - 1) / 2;
    for (std::size_t d = 0; d < data.width; ++d) {
      double* out = pairs_.data() + data.group[d] * count;
      for (std::size_t i = 1; i < n_; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
          const double difference =
              data.points[i * data.width + d] - data.points[j * data.width + d];
          *out++ += difference * difference;
        }
      }
    }
    factor_.resize(n_ * n_);
    inverse_.resize(n_ * n_);
    slope_.resize(count);
    alpha_.resize(n_);
  }

  // Log posterior density and its gradient: lengths by group, then the nugget.
  double evaluate(const GpHyper& hyper, std::vector<double>& gradient) {
    build(hyper);
    if (!factorise()) {
      return -std::numeric_limits<double>::infinity();
    }
    invert();
    double fit = kAmplitudePrior;
    double log_det = 0.0;
    for (std::size_t i = 0; i < n_; ++i) {
      double sum = 0.0;
      for (std::size_t j = 0; j < n_; ++j) {
        sum += at(inverse_, i, j) * data_.targets[j];
      }
      alpha_[i] = sum;
      fit += sum * data_.targets[i];
      log_det += pinned::log(at(factor_, i, i));  // half of it, twice
    }
    const double weight = static_cast<double>(n_) + kAmplitudePrior;
    amplitude_ = fit / weight;
    double score = -0.5 * weight * pinned::log(amplitude_) - log_det;
    differentiate(hyper, weight / fit, gradient);
    const auto add_prior = [&](double x, double mean, double spread, double& slope) {
      const double z = (x - mean) / spread;
      score -= 0.5 * z * z;
      slope -= z / spread;
    };
    for (std::size_t g = 0; g < data_.groups; ++g) {
      add_prior(hyper.log_length[g], prior_.length_mean, prior_.length_spread, gradient[g]);
    }
    add_prior(hyper.log_nugget, prior_.nugget_mean, prior_.nugget_spread, gradient[data_.groups]);
    return score;
  }

  double amplitude() const { return amplitude_; }

 private:
  double& at(std::vector<double>& m, std::size_t i, std::size_t j) { return m[i * n_ + j]; }

  void build(const GpHyper& hyper) {
    const std::size_t count = slope_.size();
    std::vector<double> r2(count, 0.0);
    for (std::size_t g = 0; g < data_.groups; ++g) {
      const double weight = pinned::exp(-2.0 * hyper.log_length[g]);
      const double* squares = pairs_.data() + g * count;
      for (std::size_t p = 0; p < count; ++p) {
        r2[p] += weight * squares[p];
      }
    }
    std::size_t p = 0;
    const double diagonal = 1.0 + pinned::exp(hyper.log_nugget);
    for (std::size_t i = 0; i < n_; ++i) {
      for (std::size_t j = 0; j < i; ++j, ++p) {
        at(factor_, i, j) = matern52(r2[p]);
        slope_[p] = matern52_slope(r2[p]);
      }
      at(factor_, i, i) = diagonal;
    }
  }

  bool factorise() {
    for (std::size_t i = 0; i < n_; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = at(factor_, i, j);
        for (std::size_t k = 0; k < j; ++k) {
          sum -= at(factor_, i, k) * at(factor_, j, k);
        }
        if (i == j && !(sum > 0.0)) {
          return false;
        }
        at(factor_, i, j) = i == j ? std::sqrt(sum) : sum / at(factor_, j, j);
      }
    }
    return true;
  }

  // K^-1 from the factor, by rows: first the inverse of L, then its square.
  void invert() {
    std::vector<double> lower(n_ * n_, 0.0);
    for (std::size_t i = 0; i < n_; ++i) {
      double* row = lower.data() + i * n_;
      for (std::size_t k = 0; k < i; ++k) {
        const double factor = at(factor_, i, k);
        const double* above = lower.data() + k * n_;
        for (std::size_t j = 0; j <= k; ++j) {
          row[j] -= factor * above[j];
        }
      }
      const double scale = 1.0 / at(factor_, i, i);
      for (std::size_t j = 0; j < i; ++j) {
        row[j] *= scale;
      }
      row[i] = scale;
    }
    std::fill(inverse_.begin(), inverse_.end(), 0.0);
    for (std::size_t k = 0; k < n_; ++k) {
      const double* row = lower.data() + k * n_;
      for (std::size_t i = 0; i <= k; ++i) {
        const double factor = row[i];
        double* out = inverse_.data() + i * n_;
        for (std::size_t j = 0; j <= k; ++j) {
          out[j] += factor * row[j];
        }
      }
    }
  }

  void differentiate(const GpHyper& hyper, double gain, std::vector<double>& gradient) {
    const std::size_t count = slope_.size();
    std::vector<double> pull(count);
    std::size_t p = 0;
    double nugget = 0.0;
    for (std::size_t i = 0; i < n_; ++i) {
      for (std::size_t j = 0; j < i; ++j, ++p) {
        pull[p] = (gain * alpha_[i] * alpha_[j] - at(inverse_, i, j)) * slope_[p];
      }
      nugget += gain * alpha_[i] * alpha_[i] - at(inverse_, i, i);
    }
    for (std::size_t g = 0; g < data_.groups; ++g) {
      const double* squares = pairs_.data() + g * count;
      double sum = 0.0;
      for (std::size_t q = 0; q < count; ++q) {
        sum += pull[q] * squares[q];
      }
      gradient[g] = -2.0 * pinned::exp(-2.0 * hyper.log_length[g]) * sum;
    }
    gradient[data_.groups] = 0.5 * nugget * pinned::exp(hyper.log_nugget);
  }

  const GpData& data_;
  const GpPrior& prior_;
  std::size_t n_;
  std::vector<double> pairs_;  // squared differences by group, then pair
  std::vector<double> factor_, inverse_, slope_, alpha_;
  double amplitude_ = 1.0;
};

}  // namespace

GpPrior GpPrior::for_groups(std::size_t groups) {
  GpPrior prior;
  constexpr double kShare = 0.5;
  prior.length_mean =
      pinned::log(kShare * std::sqrt(static_cast<double>(std::max<std::size_t>(groups, 1))));
  return prior;
}

GpHyper GpPrior::centre(std::size_t groups) const {
  return GpHyper{std::vector<double>(groups, length_mean), nugget_mean};
}

GpFit fit_gp(const GpData& data, const GpPrior& prior, const GpHyper& start, int steps) {
  COPPICE_CHECK(data.targets.size() >= 2 && start.log_length.size() == data.groups);
  constexpr double kFirstStep = 0.3, kLeastStep = 0.01, kMostStep = 1.0;
  constexpr double kFaster = 1.2, kSlower = 0.5;
  Likelihood likelihood(data, prior);
  const std::size_t size = data.groups + 1;
  std::vector<double> gradient(size), last(size, 0.0), step(size, kFirstStep);
  GpHyper at = start;
  GpFit best;
  best.score = -std::numeric_limits<double>::infinity();
  for (int i = 0; i <= steps; ++i) {
    const double score = likelihood.evaluate(at, gradient);
    if (i == 0 || score > best.score) {
      best = GpFit{at, likelihood.amplitude(), score};
    }
    if (!(score > -std::numeric_limits<double>::infinity())) {
      break;
    }
    for (std::size_t k = 0; k < size; ++k) {
      const double turn = gradient[k] * last[k];
      step[k] = std::clamp(step[k] * (turn > 0   ? kFaster
                                      : turn < 0 ? kSlower
                                                 : 1.0),
                           kLeastStep,
                           kMostStep);
      last[k] = turn < 0 ? 0.0 : gradient[k];
      const double move = last[k] > 0 ? step[k] : last[k] < 0 ? -step[k] : 0.0;
      double& x = k < data.groups ? at.log_length[k] : at.log_nugget;
      x = k < data.groups ? std::clamp(x + move, kLeastLength, kMostLength)
                          : std::clamp(x + move, kLeastNugget, kMostNugget);
    }
  }
  return best;
}

GpShape shape_of(const GpHyper& hyper, std::span<const std::size_t> group) {
  GpShape shape;
  for (const std::size_t g : group) {
    shape.weight.push_back(pinned::exp(-2.0 * hyper.log_length[g]));
  }
  shape.nugget = pinned::exp(hyper.log_nugget);
  return shape;
}

}  // namespace coppice::planner
