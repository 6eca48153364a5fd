// The numbers behind a workload: tensor extents and sizes, and the names that expressions may use.
#pragma once

#include "core/op.h"
#include "core/result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace coppice {

struct TensorShape {
  std::string name;
  TensorRole role = TensorRole::value;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  // row-major, outermost first
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
};

// What expressions may name for one workload: dims, constants, and for each of Op::types its choice
// as text (`T == 'bf16'`) and the size of one element (`T.bytes`).
ValueMap workload_values(const Op& op, const Suite& suite, const Workload& workload);

// The element type of a tensor in this suite.
Result<DType> tensor_dtype(const Op& op, const Suite& suite, const TensorSpec& tensor);

// All tensors of one workload in contract order. Errors: an unbound name, a negative extent, an
// unknown type, more than 2^48 bytes.
Result<std::vector<TensorShape>> tensor_shapes(const Op& op,
                                               const Suite& suite,
                                               const Workload& workload);

}  // namespace coppice
