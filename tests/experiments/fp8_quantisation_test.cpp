// What the contract of add_rmsnorm_fp8_gemm rests on: quantisation that f32 decides exactly, and
// precision classes that tell honest kernels from careless ones.
#include "experiments/op_loader.h"
#include "tests/support/catch.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace coppice::experiments {
namespace {

// Nearest e4m3 number to x, ties to even; |x| is at most 448.
float rounded_e4m3(float x) {
  const float size = std::fabs(x);
  const int exponent = size < 0x1p-6F ? -6 : std::ilogb(size);
  return std::copysign(std::ldexp(std::nearbyint(std::ldexp(size, 3 - exponent)), exponent - 3), x);
}

// The same of 448 p / largest in whole numbers: p and largest are at most 2^16.
float decided_in_integers(std::int64_t p, std::int64_t largest) {
  int exponent = 8;  // of the e4m3 number below the quotient
  while (exponent > -6 && (448 * p << 16) < (largest << (16 + exponent))) {
    --exponent;
  }
  const std::int64_t unit = largest << (exponent - 3 + 16), scaled = 448 * p << 16;
  std::int64_t count = scaled / unit;
  const std::int64_t twice = 2 * (scaled % unit);
  if (twice > unit || (twice == unit && count % 2 == 1)) {
    ++count;
  }
  return std::ldexp(static_cast<float>(count), exponent - 3);
}

struct Flips {
  int divided = 0, multiplied = 0, of = 0;
};

// Products of two eight-bit significands, as s w is, against such a largest one.
Flips count_flips(std::int64_t largest) {
  Flips out;
  const auto top = static_cast<float>(largest);
  for (std::int64_t a = 1; a < 256; ++a) {
    for (std::int64_t b = 128; b < 256; ++b) {
      const std::int64_t p = a * b;
      if (p > largest) {
        continue;
      }
      const float want = decided_in_integers(p, largest), x = static_cast<float>(p);
      ++out.of;
      out.divided += rounded_e4m3(x * 448.0F / top) != want ? 1 : 0;
      out.multiplied += rounded_e4m3(x * (448.0F / top)) != want ? 1 : 0;
    }
  }
  return out;
}

}  // namespace

TEST_CASE("a true division in f32 quantises exactly, ties included, a reciprocal does not") {
  Flips all;
  for (const std::int64_t left : {128, 131, 149, 168, 177, 192, 224, 251, 255}) {
    for (const std::int64_t right : {128, 139, 161, 193, 211, 224, 255}) {
      const Flips one = count_flips(left * right);
      all.divided += one.divided;
      all.multiplied += one.multiplied;
      all.of += one.of;
    }
  }
  CHECK(all.of > 1000000);
  CHECK(all.divided == 0);
  CHECK(all.multiplied > 0);
}

TEST_CASE("the quantised product's classes demand what they say, the updated residual is exact") {
  const Result<Op> op =
      load_op(std::string(COPPICE_SOURCE_DIR) + "/experiments/ops/add_rmsnorm_fp8_gemm");
  REQUIRE(op.ok());
  REQUIRE(op->precision.size() == 3);
  CHECK(op->precision[0].name == "exact_quantisation");
  // Not quantising costs 0.026, rounding the normalised row to bf16 0.012 to 0.016.
  CHECK(op->precision[0].tolerance.nrmse < 0.005);
  CHECK(op->precision[1].tolerance.nrmse < 0.012);
  CHECK(op->precision[2].tolerance.nrmse < 0.025);
  for (const PrecisionClass& one : op->precision) {
    REQUIRE(one.per_output.contains("residual_out"));
    CHECK(one.per_output.at("residual_out").nrmse < 1e-4);
  }
  const auto bad = std::ranges::count(op->twins, false, &Twin::good);
  CHECK(bad >= 20);
  for (const char* name : {"bad_unquantised", "bad_no_saturation", "bad_scale_of_next_row"}) {
    CHECK(std::ranges::find(op->twins, name, &Twin::name) != op->twins.end());
  }
}

}  // namespace coppice::experiments
