// exp, log and the normal distribution from + - * / sqrt alone: the same bits everywhere.
#include "core/pinned_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace coppice::pinned {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
// ln 2 in two parts; the first has 21 trailing zero bits, so that k * kLn2High is exact.
constexpr double kLn2High = 6.93147180369123816490e-01;
constexpr double kLn2Low = 1.90821492927058770002e-10;
constexpr double kInverseLn2 = 1.44269504088896338700;
constexpr double kInverseSqrt2Pi = 0.39894228040143267794;

// 2^k for k in [-1022, 1023].
double power_of_two(int k) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(k + 1023) << 52);
}

// exp(r) for |r| <= 0.35, by its Taylor series to r^14 / 14!.
double exp_reduced(double r) {
  double sum = 1.0;
  for (int n = 14; n >= 1; --n) {
    sum = 1.0 + sum * r / n;
  }
  return sum;
}

// log((1 + s) / (1 - s)) = 2 (s + s^3/3 + s^5/5 + ...) for |s| <= 0.26.
double log_series(double s) {
  const double square = s * s;
  double sum = 0.0;
  for (int n = 33; n >= 3; n -= 2) {
    sum = (sum + 1.0 / n) * square;
  }
  return 2.0 * s * (1.0 + sum);
}

// Horner: coefficients from the constant term up.
template <std::size_t N>
double polynomial(const double (&coefficients)[N], double x) {
  double sum = coefficients[N - 1];
  for (std::size_t i = N - 1; i-- > 0;) {
    sum = sum * x + coefficients[i];
  }
  return sum;
}

// Upper tail of the normal distribution for x >= 2: Laplace's continued fraction of Mills' ratio,
// as deep as the tests show is needed there.
double upper_tail(double x) {
  double fraction = x;
  for (int n = 20 + static_cast<int>(900.0 / (x * x)); n >= 1; --n) {
    fraction = x + n / fraction;
  }
  return normal_pdf(x) / fraction;
}

}  // namespace

double exp(double x) {
  if (x != x) {
    return x;
  }
  if (x > 709.79) {
    return kInfinity;
  }
  if (x < -745.14) {
    return 0.0;
  }
  const double k = std::floor(x * kInverseLn2 + 0.5);
  const double r = (x - k * kLn2High) - k * kLn2Low;
  const double value = exp_reduced(r);
  // In two halves: 2^k alone may leave the range where the product does not.
  const int exponent = static_cast<int>(k);
  const int half = exponent / 2;
  return value * power_of_two(half) * power_of_two(exponent - half);
}

double log(double x) {
  if (x != x || x < 0.0) {
    return kNan;
  }
  if (x == 0.0) {
    return -kInfinity;
  }
  if (x == kInfinity) {
    return x;
  }
  int exponent = 0;
  if (x < std::numeric_limits<double>::min()) {  // subnormal
    x *= 0x1.0p54;
    exponent = -54;
  }
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  exponent += static_cast<int>(bits >> 52) - 1023;
  double mantissa = std::bit_cast<double>((bits & 0xfffffffffffffU) | 0x3ff0000000000000U);
  if (mantissa > 1.41421356237309504880) {
    mantissa *= 0.5;
    ++exponent;
  }
  const double fraction = mantissa - 1.0;
  const double k = exponent;
  return k * kLn2High + (log_series(fraction / (2.0 + fraction)) + k * kLn2Low);
}

double log1p(double x) {
  if (x > -0.4 && x < 0.5) {
    return log_series(x / (2.0 + x));
  }
  const double sum = 1.0 + x;
  if (!(sum > 0.0) || sum == kInfinity) {
    return log(sum);
  }
  return log(sum) + (x - (sum - 1.0)) / sum;
}

double pow(double base, double exponent) {
  if (exponent == 0.0 || base == 1.0) {
    return 1.0;
  }
  return exp(exponent * log(base));
}

double normal_pdf(double x) {
  if (!(x < 39.0 && x > -39.0)) {
    return x != x ? x : 0.0;
  }
  // x^2 = h^2 + (x - h)(x + h), with h short enough that h^2 is exact.
  const double h = std::floor(x * 1024.0) / 1024.0;
  return kInverseSqrt2Pi * exp(-0.5 * h * h) * exp(-0.5 * (x - h) * (x + h));
}

double normal_cdf(double x) {
  if (x != x) {
    return x;
  }
  if (x >= 2.0) {
    return 1.0 - upper_tail(x);
  }
  if (x <= -2.0) {
    return x < -39.0 ? 0.0 : upper_tail(-x);
  }
  // Marsaglia 2004: 1/2 + pdf(x) (x + x^3/3 + x^5/(3*5) + ...).
  const double square = x * x;
  double term = x;
  double sum = x;
  for (int n = 3; n < 100; n += 2) {
    term = term * square / n;
    sum += term;
  }
  return 0.5 + sum * normal_pdf(x);
}

// Wichura 1988, "Algorithm AS 241: the percentage points of the normal distribution", PPND16.
namespace {
constexpr double kQuantileA[] = {3.3871328727963666080e0,
                                 1.3314166789178437745e+2,
                                 1.9715909503065514427e+3,
                                 1.3731693765509461125e+4,
                                 4.5921953931549871457e+4,
                                 6.7265770927008700853e+4,
                                 3.3430575583588128105e+4,
                                 2.5090809287301226727e+3};
constexpr double kQuantileB[] = {1.0,
                                 4.2313330701600911252e+1,
                                 6.8718700749205790830e+2,
                                 5.3941960214247511077e+3,
                                 2.1213794301586595867e+4,
                                 3.9307895800092710610e+4,
                                 2.8729085735721942674e+4,
                                 5.2264952788528545610e+3};
constexpr double kQuantileC[] = {1.42343711074968357734e0,
                                 4.63033784615654529590e0,
                                 5.76949722146069140550e0,
                                 3.64784832476320460504e0,
                                 1.27045825245236838258e0,
                                 2.41780725177450611770e-1,
                                 2.27238449892691845833e-2,
                                 7.74545014278341407640e-4};
constexpr double kQuantileD[] = {1.0,
                                 2.05319162663775882187e0,
                                 1.67638483018380384940e0,
                                 6.89767334985100004550e-1,
                                 1.48103976427480074590e-1,
                                 1.51986665636164571966e-2,
                                 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9};
constexpr double kQuantileE[] = {6.65790464350110377720e0,
                                 5.46378491116411436990e0,
                                 1.78482653991729133580e0,
                                 2.96560571828504891230e-1,
                                 2.65321895265761230930e-2,
                                 1.24266094738807843860e-3,
                                 2.71155556874348757815e-5,
                                 2.01033439929228813265e-7};
constexpr double kQuantileF[] = {1.0,
                                 5.99832206555887937690e-1,
                                 1.36929880922735805310e-1,
                                 1.48753612908506148525e-2,
                                 7.86869131145613259100e-4,
                                 1.84631831751005468180e-5,
                                 1.42151175831644588870e-7,
                                 2.04426310338993978564e-15};
}  // namespace

double normal_quantile(double p) {
  if (!(p >= 0.0 && p <= 1.0)) {
    return kNan;
  }
  if (p == 0.0 || p == 1.0) {
    return p == 0.0 ? -kInfinity : kInfinity;
  }
  const double q = p - 0.5;
  if (q <= 0.425 && q >= -0.425) {
    const double r = 0.180625 - q * q;
    return q * polynomial(kQuantileA, r) / polynomial(kQuantileB, r);
  }
  const double r = std::sqrt(-log(q < 0.0 ? p : 1.0 - p));
  const double x = r <= 5.0 ? polynomial(kQuantileC, r - 1.6) / polynomial(kQuantileD, r - 1.6)
                            : polynomial(kQuantileE, r - 5.0) / polynomial(kQuantileF, r - 5.0);
  return q < 0.0 ? -x : x;
}

}  // namespace coppice::pinned
