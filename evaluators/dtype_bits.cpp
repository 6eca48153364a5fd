// Conversions between element bits and doubles; small floats share one routine over their layout.

#include "evaluators/dtype_bits.h"

#include "core/check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace coppice::evaluators {
namespace {

// A small binary float: sign, exponent, mantissa. `ieee`: the top exponent is infinity and NaN;
// otherwise (e4m3fn) only all ones is NaN and there is no infinity.
struct Layout {
  int exponent_bits;
  int mantissa_bits;
  bool ieee;
};
constexpr Layout kF16{5, 10, true};
constexpr Layout kBf16{8, 7, true};
constexpr Layout kE4m3{4, 3, false};
constexpr Layout kE5m2{5, 2, true};

double widen_bits(Layout l, std::uint32_t bits) {
  const int bias = (1 << (l.exponent_bits - 1)) - 1;
  const std::uint32_t mantissa_mask = (1U << l.mantissa_bits) - 1;
  const std::uint32_t top = (1U << l.exponent_bits) - 1;
  const std::uint32_t mantissa = bits & mantissa_mask;
  const std::uint32_t exponent = (bits >> l.mantissa_bits) & top;
  const double sign = ((bits >> (l.mantissa_bits + l.exponent_bits)) & 1U) != 0 ? -1.0 : 1.0;
  if (exponent == top && l.ieee) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == top && mantissa == mantissa_mask) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (exponent == 0) {
    return sign * std::ldexp(static_cast<double>(mantissa), 1 - bias - l.mantissa_bits);
  }
  return sign * std::ldexp(static_cast<double>(mantissa | (1U << l.mantissa_bits)),
                           static_cast<int>(exponent) - bias - l.mantissa_bits);
}

std::uint32_t round_bits(Layout l, double x) {
  const int bias = (1 << (l.exponent_bits - 1)) - 1;
  const std::uint32_t top = (1U << l.exponent_bits) - 1;
  const std::uint32_t sign = std::signbit(x) ? 1U << (l.exponent_bits + l.mantissa_bits) : 0U;
  const std::uint32_t infinity =
      l.ieee ? top << l.mantissa_bits : (top << l.mantissa_bits) | ((1U << l.mantissa_bits) - 2);
  if (std::isnan(x)) {
    return l.ieee ? (top << l.mantissa_bits) | (1U << (l.mantissa_bits - 1))
                  : (1U << (l.exponent_bits + l.mantissa_bits)) - 1;
  }
  const double magnitude = std::fabs(x);
  if (std::isinf(x)) {
    return sign | infinity;
  }
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = f * 2^exponent, f in [0.5, 1)
  const int unit = std::max(exponent - 1, 1 - bias) - l.mantissa_bits;
  // Scaling by a power of two is exact, nearbyint rounds to even: one rounding in all.
  const double steps = std::nearbyint(std::ldexp(magnitude, -unit));
  const auto whole = static_cast<std::uint64_t>(steps);
  const int biased = unit + l.mantissa_bits + bias;  // exponent field if normal
  const std::uint64_t hidden = 1ULL << l.mantissa_bits;
  const std::uint64_t bits =
      whole < hidden ? whole
                     : (static_cast<std::uint64_t>(biased) << l.mantissa_bits) + whole - hidden;
  return sign | static_cast<std::uint32_t>(std::min<std::uint64_t>(bits, infinity));
}

template <class T>
T load(const void* data, std::uint64_t i) {
  T out;
  std::memcpy(&out, static_cast<const char*>(data) + i * sizeof(T), sizeof(T));
  return out;
}
template <class T>
void put(void* data, std::uint64_t i, T value) {
  std::memcpy(static_cast<char*>(data) + i * sizeof(T), &value, sizeof(T));
}
template <class T>
T saturate(double x) {
  const double rounded = std::isnan(x) ? 0.0 : std::nearbyint(x);
  if (rounded >= static_cast<double>(std::numeric_limits<T>::max())) {
    return std::numeric_limits<T>::max();
  }
  if (rounded <= static_cast<double>(std::numeric_limits<T>::min())) {
    return std::numeric_limits<T>::min();
  }
  return static_cast<T>(rounded);
}

}  // namespace

double widen(DType type, const void* data, std::uint64_t i) {
  switch (type) {
    case DType::f64:
      return load<double>(data, i);
    case DType::f32:
      return load<float>(data, i);
    case DType::f16:
      return widen_bits(kF16, load<std::uint16_t>(data, i));
    case DType::bf16: {
      const std::uint32_t bits = static_cast<std::uint32_t>(load<std::uint16_t>(data, i)) << 16;
      return load<float>(&bits, 0);
    }
    case DType::e4m3:
      return widen_bits(kE4m3, load<std::uint8_t>(data, i));
    case DType::e5m2:
      return widen_bits(kE5m2, load<std::uint8_t>(data, i));
    case DType::i64:
      return static_cast<double>(load<std::int64_t>(data, i));
    case DType::i32:
      return load<std::int32_t>(data, i);
    case DType::i8:
      return load<std::int8_t>(data, i);
    case DType::u8:
      return load<std::uint8_t>(data, i);
  }
  COPPICE_UNREACHABLE();
}

void store_rounded(DType type, void* data, std::uint64_t i, double x) {
  switch (type) {
    case DType::f64:
      return put<double>(data, i, x);
    case DType::f32:
      return put<float>(data, i, static_cast<float>(x));
    case DType::f16:
      return put<std::uint16_t>(data, i, static_cast<std::uint16_t>(round_bits(kF16, x)));
    case DType::bf16:
      return put<std::uint16_t>(data, i, static_cast<std::uint16_t>(round_bits(kBf16, x)));
    case DType::e4m3:
      return put<std::uint8_t>(data, i, static_cast<std::uint8_t>(round_bits(kE4m3, x)));
    case DType::e5m2:
      return put<std::uint8_t>(data, i, static_cast<std::uint8_t>(round_bits(kE5m2, x)));
    case DType::i64:
      return put<std::int64_t>(data, i, saturate<std::int64_t>(x));
    case DType::i32:
      return put<std::int32_t>(data, i, saturate<std::int32_t>(x));
    case DType::i8:
      return put<std::int8_t>(data, i, saturate<std::int8_t>(x));
    case DType::u8:
      return put<std::uint8_t>(data, i, saturate<std::uint8_t>(x));
  }
  COPPICE_UNREACHABLE();
}

bool is_floating(DType type) {
  return type == DType::f64 || type == DType::f32 || type == DType::f16 || type == DType::bf16 ||
         type == DType::e4m3 || type == DType::e5m2;
}

}  // namespace coppice::evaluators
