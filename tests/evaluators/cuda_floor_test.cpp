// What the device's side knows of an operation: rates of its types, roundings, headers.
#include "evaluators/cuda/evidence.h"
#include "evaluators/cuda/layout.h"
#include "evaluators/prepare.h"
#include "evaluators/session_wire.h"
#include "experiments/op_loader.h"
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

TEST_CASE("one element's honest rounding is within what a judge allows a tensor") {
  CHECK(largest_rounding(DType::bf16) >= 1.0 / 256.0);
  CHECK(largest_rounding(DType::bf16) < 0.004);
  CHECK(largest_rounding(DType::f32) < 1e-7);
  CHECK(largest_rounding(DType::i32) == 0.0);
}

TEST_CASE("the judge keeps floating outputs in f32 and integers as they are") {
  // By name: neither the order nor the number of the types decides.
  for (const char* floating : {"f64", "f32", "f16", "bf16", "e4m3", "e5m2"}) {
    CAPTURE(floating);
    CHECK(to_text(expected_type(*dtype(floating))) == "f32");
  }
  for (const char* whole : {"i64", "i32", "i8", "u8"}) {
    CHECK(to_text(expected_type(*dtype(whole))) == whole);
  }
}

TEST_CASE("a session on the wire keeps the headers that sources may include, and the rates") {
  evaluators::DeviceSession session;
  const auto op = experiments::load_op(std::string(COPPICE_SOURCE_DIR) + "/experiments/ops/gemm");
  REQUIRE(op.ok());
  session.op = *op;
  session.suite = "h200_few_rows";
  session.ceilings = {{"bf16_tensor", 7.9e14}};
  session.peaks = {{"bf16_tensor", 9.89e14}};
  const auto back = evaluators::device_session(to_json(session).reader("session"));
  INFO((back.ok() ? "" : back.error().message));
  REQUIRE(back.ok());
  CHECK(evaluators::op_header_names(back->op) == evaluators::op_header_names(*op));
  CHECK(evaluators::op_header_names(back->op).size() > 3);
  CHECK(back->ceilings == session.ceilings);
  CHECK(back->peaks == session.peaks);
}
