// Calibration: intervals cover what they say, though the model is too sure of itself.
#include "search/calibration.h"

#include "core/random.h"
#include "tests/support/catch.h"

#include <cmath>

using namespace coppice;
using namespace coppice::search;

TEST_CASE("80 % intervals cover 70 to 90 % after 50 results, whatever the model's own error") {
  for (const double error : {0.3, 1.0, 2.0, 4.0}) {  // true spread over the model's
    for (const double bias : {0.0, 0.5, 1.5}) {      // of the mean, in the model's spreads
      Rng rng = stream(5, "test", static_cast<std::uint64_t>(100.0 * error + bias));
      Calibration calibration;
      int inside = 0;
      constexpr int kResults = 400;
      constexpr int kFirst = 50;
      for (int i = 0; i < kResults; ++i) {
        Prediction prediction;
        prediction.log_cost = 1.0;
        prediction.spread = 0.1 * calibration.factor();
        const double cost = 1.0 + 0.1 * (bias + error * rng.normal());
        const bool within = std::fabs(cost - 1.0) <= 1.2815515655446004 * prediction.spread;
        inside += i >= kFirst && within ? 1 : 0;
        calibration.take(cost, prediction);
      }
      const double share = static_cast<double>(inside) / (kResults - kFirst);
      CAPTURE(error, bias, share);
      CHECK(share > 0.7);
      CHECK(share < 0.9);
    }
  }
}
