// Floors of compute-bound rows: the rate of the narrowest type that a suite's tensors have.
#include "evaluators/cuda/evidence.h"
#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::evaluators::cuda;

namespace {

Suite suite_with(const char* type) {
  Suite suite;
  suite.types = {{"T", type}, {"A", "f32"}};
  return suite;
}

}  // namespace

TEST_CASE("a suite's arithmetic is counted at the rate of its narrowest floating type") {
  const Rates rates = {{"bf16_tensor", 7.9e14},
                       {"fp8_tensor", 1.58e15},
                       {"tf32_tensor", 3.95e14},
                       {"f32_fma", 6e13}};
  CHECK(matrix_rate(suite_with("bf16"), rates) == 7.9e14);
  CHECK(matrix_rate(suite_with("e4m3"), rates) == 1.58e15);
  CHECK(matrix_rate(suite_with("f32"), rates) == 3.95e14);
  CHECK(matrix_rate(suite_with("i32"), Rates{{"bf16_tensor", 7.9e14}}) == 0.0);
  CHECK(matrix_rate(suite_with("bf16"), Rates{}) == 0.0);
  CHECK(fastest_matrix_rate(rates) == 1.58e15);
}
