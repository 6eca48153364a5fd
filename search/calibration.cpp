// Steps of the factor on a logarithmic scale.
#include "search/calibration.h"

#include "core/pinned_math.h"

#include <algorithm>
#include <cmath>

namespace coppice::search {

void Calibration::take(double log_cost, const Prediction& prediction) {
  constexpr double kHalf80 = 1.2815515655446004;  // half the central 80 % of a normal distribution
  constexpr double kMiss = 0.2;
  constexpr double kLeast = 0.05, kMost = 50.0;
  if (!(prediction.spread > 0.0)) {
    return;
  }
  ++seen_;
  const bool missed = std::fabs(log_cost - prediction.log_cost) > kHalf80 * prediction.spread;
  const double step = std::max(0.12, 0.5 / std::sqrt(static_cast<double>(seen_)));
  factor_ = std::clamp(factor_ * pinned::exp(step * ((missed ? 1.0 : 0.0) - kMiss)), kLeast, kMost);
}

}  // namespace coppice::search
