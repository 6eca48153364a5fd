// Drawn values: exact grammar, independence of ranges and threads, moments.

#include "evaluators/values.h"

#include "core/random.h"
#include "evaluators/dtype_bits.h"
#include "tests/support/catch.h"

#include <cmath>
#include <cstring>
#include <limits>

using namespace coppice;
using namespace coppice::evaluators;

TEST_CASE("a value is the documented function of seed, tensor name and index") {
  const Fill normal{Fill::Kind::normal, 0.5, 0.25};
  const FillKey key = fill_key(normal, "q", 42);
  for (const std::uint64_t i : {0ULL, 1ULL, 12345ULL, 5000000000ULL}) {
    const std::uint64_t x = mix64(mix64(42 ^ hash_text("q")) + i * 0x9e3779b97f4a7c15ULL);
    const auto u = static_cast<std::int32_t>((x & 0xffff) + (x >> 16 & 0xffff) +
                                             (x >> 32 & 0xffff) + (x >> 48));
    volatile float z = static_cast<float>(u - 131070) * static_cast<float>(0.5 / 37837.227);
    z = z + 0.25F;
    CHECK(value_at(Fill::Kind::normal, key, i) == z);
  }
  const FillKey uniform = fill_key({Fill::Kind::uniform, 2.0, 0.0}, "q", 42);
  const std::uint64_t x = mix64(mix64(42 ^ hash_text("q")) + 7 * 0x9e3779b97f4a7c15ULL);
  volatile float v = (static_cast<float>(x >> 40) * 0x1p-23F - 1.0F) * 2.0F;
  CHECK(value_at(Fill::Kind::uniform, uniform, 7) == v);
}

TEST_CASE("normal values have the asked mean and deviation") {
  std::vector<float> data(200000);
  fill_tensor({Fill::Kind::normal, 3.0, 1.0}, 7, {"x", DType::f32, data.size(), data.data()}, 1);
  double sum = 0.0;
  double squares = 0.0;
  for (const float value : data) {
    sum += value;
    squares += (value - 1.0) * (value - 1.0);
  }
  CHECK(std::fabs(sum / double(data.size()) - 1.0) < 0.03);
  CHECK(std::fabs(std::sqrt(squares / double(data.size())) - 3.0) < 0.03);
}

TEST_CASE("the number of threads and the range drawn do not change a value") {
  std::vector<std::uint16_t> one(1 << 20);
  std::vector<std::uint16_t> many(one.size());
  const Fill fill{Fill::Kind::normal, 1.0, 0.0};
  fill_tensor(fill, 9, {"w", DType::bf16, one.size(), one.data()}, 1);
  fill_tensor(fill, 9, {"w", DType::bf16, many.size(), many.data()}, 5);
  CHECK(one == many);
  std::vector<std::uint16_t> piece(100);
  fill_range(fill, fill_key(fill, "w", 9), DType::bf16, 777, piece.size(), piece.data());
  CHECK(std::memcmp(piece.data(), one.data() + 777, piece.size() * 2) == 0);
}

TEST_CASE("tensors and seeds draw different values") {
  const Fill fill{};
  int equal = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const float a = value_at(fill.kind, fill_key(fill, "k", 1), i);
    equal += a == value_at(fill.kind, fill_key(fill, "v", 1), i) ? 1 : 0;
    equal += a == value_at(fill.kind, fill_key(fill, "k", 2), i) ? 1 : 0;
  }
  CHECK(equal < 10);
}

TEST_CASE("every small float survives widening and rounding") {
  for (const DType type : {DType::f16, DType::bf16, DType::e4m3, DType::e5m2}) {
    const std::uint32_t count = size_of(type) == 2 ? 65536 : 256;
    for (std::uint32_t bits = 0; bits < count; ++bits) {
      std::uint16_t in = static_cast<std::uint16_t>(bits);
      const double x = widen(type, &in, 0);
      std::uint16_t out = 0;
      store_rounded(type, &out, 0, x);
      if (std::isnan(x)) {
        CHECK(std::isnan(widen(type, &out, 0)));
      } else if (out != in) {
        CAPTURE(to_text(type), bits, x);
        REQUIRE(out == in);
      }
    }
  }
}

TEST_CASE("rounding is to nearest, ties to even, and e4m3 saturates") {
  std::uint16_t bits = 0;
  store_rounded(DType::bf16, &bits, 0, 1.0 + 1.0 / 256.0);  // halfway between 1 and 1 + 1/128
  CHECK(widen(DType::bf16, &bits, 0) == 1.0);
  store_rounded(DType::bf16, &bits, 0, 1.0 + 3.0 / 256.0);
  CHECK(widen(DType::bf16, &bits, 0) == 1.0 + 4.0 / 256.0);
  store_rounded(DType::f16, &bits, 0, 65520.0);
  CHECK(std::isinf(widen(DType::f16, &bits, 0)));
  bits = 0;
  store_rounded(DType::e4m3, &bits, 0, 1000.0);
  CHECK(widen(DType::e4m3, &bits, 0) == 448.0);
  store_rounded(DType::f16, &bits, 0, std::ldexp(1.0, -24) * 0.5);  // half the least subnormal
  CHECK(widen(DType::f16, &bits, 0) == 0.0);
  store_rounded(DType::f16, &bits, 0, std::ldexp(1.5, -24));
  CHECK(widen(DType::f16, &bits, 0) == std::ldexp(1.0, -23));
}
