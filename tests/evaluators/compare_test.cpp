// The tolerance rules: what they refuse, in which order, and how they name the place.

#include "evaluators/compare.h"

#include "core/random.h"
#include "evaluators/dtype_bits.h"
#include "tests/support/catch.h"

#include <cmath>
#include <cstring>
#include <limits>

using namespace coppice;
using namespace coppice::evaluators;

namespace {

struct Case {
  std::vector<std::int64_t> shape{8, 64};
  std::vector<double> expected = std::vector<double>(512);
  std::vector<float> actual = std::vector<float>(512);
  Tolerance tolerance{1e-5, 1e-4, 1e-4, 2.0, std::nullopt};
  const void* poison = nullptr;
  Case() {
    Rng rng = stream(1, "compare", 0);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i] = rng.normal();
      actual[i] = static_cast<float>(expected[i]);
    }
  }
  Comparison run() const {
    return compare_output(
        {"out", DType::f32, shape, actual.data(), expected.data(), poison}, tolerance, 2);
  }
};

}  // namespace

TEST_CASE("an output rounded to its type passes with a small error") {
  const Comparison c = Case().run();
  CHECK(c.ok());
  CHECK(c.error > 0.0);
  CHECK(c.error < 0.1);
}

TEST_CASE("one wrong element is refused and located") {
  Case c;
  c.actual[3 * 64 + 5] += 0.5F;
  const Comparison result = c.run();
  CHECK(result.failure == FailureClass::wrong_result);
  CHECK(result.worst == 3 * 64 + 5);
  CHECK(result.message.find("out[3, 5]") == 0);
  CHECK(result.actual_value == Approx(result.expected_value + 0.5));
}

TEST_CASE("a small row may not hide behind a large tensor") {
  Case c;
  for (std::size_t i = 0; i < 64; ++i) {
    c.expected[i] *= 1e-4;
    c.actual[i] = static_cast<float>(c.expected[i] * 1.001);  // 1e-3 off: invisible to the tensor
  }
  const Comparison result = c.run();
  CHECK(result.nrmse < c.tolerance.nrmse);
  CHECK(result.failure == FailureClass::wrong_result);
  CHECK(result.worst_row == Approx(1e-3).epsilon(0.01));
}

TEST_CASE("zeros, a constant and a lower precision are refused") {
  Case zeros;
  std::fill(zeros.actual.begin(), zeros.actual.end(), 0.0F);
  CHECK(zeros.run().failure == FailureClass::wrong_result);
  CHECK(zeros.run().nrmse == Approx(1.0));
  Case lower;
  for (float& x : lower.actual) {
    std::uint16_t bits = 0;
    store_rounded(DType::bf16, &bits, 0, x);
    x = static_cast<float>(widen(DType::bf16, &bits, 0));
  }
  CHECK(lower.run().failure == FailureClass::wrong_result);
}

TEST_CASE("NaN and infinity are reported before any error is measured") {
  Case c;
  c.actual[100] = std::numeric_limits<float>::quiet_NaN();
  c.actual[3] += 1.0F;
  const Comparison result = c.run();
  CHECK(result.failure == FailureClass::non_finite);
  CHECK(result.worst == 100);
}

TEST_CASE("a non-finite reference must be met exactly") {
  Case c;
  c.expected[7] = -std::numeric_limits<double>::infinity();
  c.actual[7] = -std::numeric_limits<float>::infinity();
  CHECK(c.run().ok());
  c.actual[7] = std::numeric_limits<float>::infinity();
  CHECK(c.run().failure == FailureClass::non_finite);
  c.actual[7] = 0.0F;
  CHECK(c.run().failure == FailureClass::non_finite);
}

TEST_CASE("elements that still hold the poison are unwritten, even when it is NaN") {
  Case c;
  const std::uint64_t poison = 0x7fc123457fc12345;
  c.poison = &poison;
  CHECK(c.run().ok());
  std::memcpy(&c.actual[64], &poison, 4);
  const Comparison result = c.run();
  CHECK(result.failure == FailureClass::unwritten_output);
  CHECK(result.message.find("out[1, 0]") == 0);
}

TEST_CASE("an absolute limit replaces the other rules") {
  Case c;
  c.tolerance.absolute = 1e-3;
  c.actual[9] += 5e-4F;
  CHECK(c.run().ok());
  c.actual[9] += 1e-3F;
  CHECK(c.run().failure == FailureClass::wrong_result);
}

TEST_CASE("a zero row demands zeros") {
  Case c;
  for (std::size_t i = 0; i < 64; ++i) {
    c.expected[i] = 0.0;
    c.actual[i] = i % 2 == 0 ? 0.0F : -0.0F;
  }
  CHECK(c.run().ok());
  c.actual[1] = 1e-3F;
  CHECK_FALSE(c.run().ok());
}

TEST_CASE("integers must be equal") {
  const std::vector<std::int32_t> actual{1, 2, 4};
  const std::vector<double> expected{1, 2, 3};
  const Comparison c =
      compare_output({"ids", DType::i32, {3}, actual.data(), expected.data(), nullptr}, {}, 1);
  CHECK(c.failure == FailureClass::wrong_result);
  CHECK(c.message.find("ids[2]: 4 instead of 3") == 0);
}

TEST_CASE("bf16 output of an exact computation passes the bf16 class") {
  Rng rng = stream(3, "compare", 1);
  std::vector<double> expected(1024);
  std::vector<std::uint16_t> actual(expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    expected[i] = rng.normal();
    store_rounded(DType::bf16, actual.data(), i, expected[i]);
  }
  const Tolerance bf16{3.5e-3, 1e-2, 1e-2, 2.0, std::nullopt};
  const OutputView view{"out", DType::bf16, {8, 128}, actual.data(), expected.data(), nullptr};
  CHECK(compare_output(view, bf16, 1).ok());
  actual[5] ^= 0x0080;  // one exponent bit
  CHECK_FALSE(compare_output(view, bf16, 1).ok());
}

TEST_CASE("short innermost extents join into rows of at least 32") {
  CHECK(row_elements({100, 128}) == 128);
  CHECK(row_elements({4, 32, 8}) == 256);
  CHECK(row_elements({3}) == 3);
  CHECK(row_elements({}) == 1);
}
