// Evaluates a workload's tensor extents and element types.
#include "core/op_shapes.h"

#include <fmt/format.h>

namespace coppice {
namespace {

constexpr std::uint64_t kLargestTensor = std::uint64_t{1} << 48;

Result<TensorShape> one_shape(const TensorSpec& tensor, DType type, const ValueMap& values) {
  TensorShape out{tensor.name, tensor.role, type, {}, 1, 0};
  for (const Expr& expression : tensor.shape) {
    auto extent = expression.integer(values);
    if (!extent.ok()) {
      return extent.error();
    }
    if (*extent < 0) {
      return Error{
          ErrorCode::config,
          fmt::format("extent '{}' is {}, expected at least 0", expression.text(), *extent)};
    }
    const auto count = static_cast<std::uint64_t>(*extent);
    if (count != 0 && out.elements > kLargestTensor / count) {
      return Error{ErrorCode::config, "more than 2^48 elements"};
    }
    out.elements *= count;
    out.shape.push_back(*extent);
  }
  out.bytes = out.elements * size_of(type);
  if (out.bytes > kLargestTensor) {
    return Error{ErrorCode::config, "more than 2^48 bytes"};
  }
  return out;
}

}  // namespace

ValueMap workload_values(const Op& op, const Suite& suite, const Workload& workload) {
  ValueMap values = op.constants;
  for (const auto& [name, extent] : workload.dims) {
    values.insert_or_assign(name, Value(extent));
  }
  for (const auto& [name, choice] : suite.types) {
    values.insert_or_assign(name, Value(choice));
    if (const auto type = dtype(choice); type.ok()) {
      values.insert_or_assign(name + ".bytes", Value(static_cast<std::int64_t>(size_of(*type))));
    }
  }
  return values;
}

Result<DType> tensor_dtype(const Op& op, const Suite& suite, const TensorSpec& tensor) {
  if (op.types.find(tensor.dtype) == op.types.end()) {
    return dtype(tensor.dtype);
  }
  const auto chosen = suite.types.find(tensor.dtype);
  if (chosen == suite.types.end()) {
    return Error{ErrorCode::config,
                 fmt::format("suite '{}' chooses no type for '{}'", suite.name, tensor.dtype)};
  }
  return dtype(chosen->second);
}

Result<std::vector<TensorShape>> tensor_shapes(const Op& op,
                                               const Suite& suite,
                                               const Workload& workload) {
  const ValueMap values = workload_values(op, suite, workload);
  std::vector<TensorShape> out;
  for (const TensorSpec& tensor : op.tensors) {
    const auto context =
        fmt::format("{}: workload '{}': tensor '{}'", op.name, workload.name, tensor.name);
    COPPICE_TRY(const DType type, tensor_dtype(op, suite, tensor).within(context));
    COPPICE_TRY(TensorShape shape, one_shape(tensor, type, values).within(context));
    out.push_back(std::move(shape));
  }
  return out;
}

}  // namespace coppice
