// Comparing one output with its fp64 reference by the rules of core/op.h's Tolerance.
#pragma once

#include "core/evidence.h"
#include "core/op.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators {

struct OutputView {
  std::string_view name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  const void* actual = nullptr;      // native elements, row-major
  const double* expected = nullptr;  // same order
  // The 4-byte pattern, twice, that the output was filled with from its first byte on before the
  // launch; elements that still hold it count as unwritten. Null: not poisoned.
  const void* poison = nullptr;
};

// Order of judgement: unwritten, non-finite, tensor nRMSE, row nRMSE, elements. A row is the
// innermost extent, joined with the next ones until it has at least 32 elements (or is the whole
// tensor). Non-finite reference elements (the log-sum-exp of an empty sequence) must be met
// exactly. Integer outputs must be equal.
struct Comparison {
  FailureClass failure = FailureClass::none;  // unwritten_output, non_finite, wrong_result
  double nrmse = 0.0;
  double worst_row = 0.0;  // largest row nRMSE
  double error = 0.0;      // worst of all rules, as a share of its limit; <= 1 passes
  std::uint64_t bad_elements = 0;
  std::uint64_t worst = 0;  // flat index of the element farthest over (or nearest to) its limit
  double actual_value = 0.0, expected_value = 0.0, limit = 0.0;  // there
  std::string message;  // located, for a person; empty when it passes
  bool ok() const { return failure == FailureClass::none; }
};

Comparison compare_output(const OutputView& output, const Tolerance& tolerance, int threads);

// The tolerance of one output in a precision class.
const Tolerance& tolerance_of(const PrecisionClass& precision, std::string_view output);

// Elements per row under the rule above.
std::uint64_t row_elements(const std::vector<std::int64_t>& shape);

// "[3, 17, 5]": a flat index as coordinates.
std::string coordinates(std::uint64_t flat, const std::vector<std::int64_t>& shape);

Json to_json(const Comparison& comparison);

}  // namespace coppice::evaluators
