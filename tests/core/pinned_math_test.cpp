// The pinned elementary functions agree with libm closely and with themselves exactly.
#include "core/pinned_math.h"

#include "core/random.h"
#include "tests/support/catch.h"

#include <bit>
#include <cmath>
#include <limits>

namespace {

using namespace coppice;

double relative(double got, double wanted) {
  return wanted == 0.0 ? std::fabs(got) : std::fabs(got - wanted) / std::fabs(wanted);
}

template <class F, class G>
double worst_over(double low, double high, F pinned, G reference) {
  Rng rng = stream(1, "pinned_math_test", 0);
  double worst = 0.0;
  for (int i = 0; i < 20000; ++i) {
    const double x = low + (high - low) * rng.uniform();
    worst = std::max(worst, relative(pinned(x), reference(x)));
  }
  return worst;
}

}  // namespace

TEST_CASE("pinned exp and log stay within 1e-13 of libm over their range") {
  CHECK(worst_over(-700, 700, pinned::exp, [](double x) { return std::exp(x); }) < 1e-13);
  CHECK(worst_over(-1, 1, pinned::exp, [](double x) { return std::exp(x); }) < 1e-15);
  CHECK(worst_over(1e-300, 10, pinned::log, [](double x) { return std::log(x); }) < 1e-13);
  CHECK(worst_over(0.5, 2, pinned::log, [](double x) { return std::log(x); }) < 1e-13);
  CHECK(worst_over(1, 1e300, pinned::log, [](double x) { return std::log(x); }) < 1e-13);
  CHECK(worst_over(-0.99, 3, pinned::log1p, [](double x) { return std::log1p(x); }) < 1e-13);
  CHECK(worst_over(-1e-9, 1e-9, pinned::log1p, [](double x) { return std::log1p(x); }) < 1e-15);
  CHECK(worst_over(
            -40,
            40,
            [](double x) { return pinned::pow(3.7, x); },
            [](double x) { return std::pow(3.7, x); }) < 1e-13);
}

TEST_CASE("pinned exp and log behave like libm at the edges") {
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(pinned::exp(0.0) == 1.0);
  CHECK(pinned::exp(1000.0) == inf);
  CHECK(pinned::exp(inf) == inf);
  CHECK(pinned::exp(-1000.0) == 0.0);
  CHECK(pinned::exp(-inf) == 0.0);
  CHECK(relative(pinned::exp(709.78), std::exp(709.78)) < 1e-13);
  CHECK(std::fabs(pinned::exp(-740.0) - std::exp(-740.0)) <= 1e-323);
  CHECK(std::isnan(pinned::exp(std::nan(""))));
  CHECK(pinned::log(1.0) == 0.0);
  CHECK(pinned::log(0.0) == -inf);
  CHECK(pinned::log(inf) == inf);
  CHECK(std::isnan(pinned::log(-1.0)));
  CHECK(relative(pinned::log(5e-324), std::log(5e-324)) < 1e-15);
  CHECK(pinned::log1p(-1.0) == -inf);
  CHECK(std::isnan(pinned::log1p(-2.0)));
  CHECK(pinned::pow(5.0, 0.0) == 1.0);
}

TEST_CASE("the pinned normal distribution agrees with erfc, tails included") {
  const auto cdf = [](double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0));
  };
  const auto pdf = [](double x) {
    return std::exp(-0.5 * x * x) / std::sqrt(2.0 * M_PI);
  };
  CHECK(worst_over(-3, 8, pinned::normal_cdf, cdf) < 5e-14);
  CHECK(worst_over(-37, -3, pinned::normal_cdf, cdf) < 5e-13);  // erfc's argument is rounded
  CHECK(worst_over(-8, 8, pinned::normal_pdf, pdf) < 1e-13);
  for (double x = -8.0; x <= 8.0; x += 0.01) {
    CHECK(std::fabs(pinned::normal_cdf(x) - cdf(x)) < 1e-15);
  }
  CHECK(pinned::normal_cdf(-100.0) == 0.0);
  CHECK(pinned::normal_cdf(100.0) == 1.0);
}

TEST_CASE("the pinned quantile inverts the pinned distribution function") {
  CHECK(pinned::normal_quantile(0.5) == 0.0);
  CHECK(pinned::normal_quantile(0.975) == Approx(1.959963984540054).epsilon(1e-15));
  CHECK(std::isnan(pinned::normal_quantile(-0.1)));
  for (double x = -8.0; x <= 3.0; x += 0.037) {
    CHECK(std::fabs(pinned::normal_quantile(pinned::normal_cdf(x)) - x) < 2e-13);
  }
}

TEST_CASE("pinned results have known bits") {
  // Fixed on one machine; every other one must give the same bits.
  std::uint64_t hash = 0;
  Rng rng = stream(7, "bits", 0);
  for (int i = 0; i < 1000; ++i) {
    const double x = (rng.uniform() - 0.5) * 20.0;
    for (const double y : {pinned::exp(x),
                           pinned::log(std::fabs(x)),
                           pinned::log1p(std::fabs(x)),
                           pinned::normal_cdf(x),
                           pinned::normal_pdf(x),
                           rng.normal()}) {
      hash = mix64(hash ^ std::bit_cast<std::uint64_t>(y));
    }
  }
  CHECK(hash == 0xd8960a2a77b8466bU);
}
