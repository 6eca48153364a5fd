// Offsets only: no device needed.
#include "evaluators/cuda/layout.h"

#include "core/op_shapes.h"

#include <algorithm>

namespace coppice::evaluators::cuda {
namespace {

// The row rule of evaluators/compare.h: innermost extents joined until there are 32 elements.
std::uint64_t row_width(const std::vector<std::int64_t>& shape) {
  std::uint64_t width = 1;
  for (std::size_t d = shape.size(); d > 0 && width < 32; --d) {
    width *= static_cast<std::uint64_t>(std::max<std::int64_t>(shape[d - 1], 1));
  }
  return width;
}

// Places the tensors of a role behind `start`, a guard before and after each.
std::uint64_t place(std::vector<TensorInfo>& tensors, TensorRole role, std::uint64_t start) {
  std::uint64_t at = start + kGuardBytes;
  for (TensorInfo& tensor : tensors) {
    if (tensor.role == role) {
      tensor.offset = at;
      at += round_up(tensor.bytes, 256) + kGuardBytes;
    }
  }
  return round_up(at, 256);
}

}  // namespace

double largest_rounding(DType type) {
  switch (type) {
    case DType::bf16:
      return 1.001 / 256.0;
    case DType::f16:
      return 1.001 / 2048.0;
    case DType::f32:
      return 1.001 / 16777216.0;
    case DType::f64:
    case DType::e4m3:
    case DType::e5m2:
    case DType::u8:
    case DType::i64:
    case DType::i32:
    case DType::i8:
      return 0.0;
  }
  COPPICE_UNREACHABLE();
}

DType expected_type(DType type) {
  switch (type) {
    case DType::f64:
    case DType::f32:
    case DType::f16:
    case DType::bf16:
    case DType::e4m3:
    case DType::e5m2:
      return DType::f32;
    case DType::i64:
    case DType::i32:
    case DType::i8:
    case DType::u8:
      return type;
  }
  COPPICE_UNREACHABLE();
}

std::uint64_t WorkloadLayout::input_offset(const TensorInfo& tensor, std::uint64_t set) const {
  return tensor.role == TensorRole::structure ? tensor.offset
                                              : structure_bytes + set * set_stride + tensor.offset;
}

const TensorInfo* WorkloadLayout::find(std::string_view wanted) const {
  for (const TensorInfo& tensor : tensors) {
    if (tensor.name == wanted) {
      return &tensor;
    }
  }
  return nullptr;
}

Result<std::vector<TensorInfo>> tensor_infos(const Op& op,
                                             const Suite& suite,
                                             const Workload& workload) {
  COPPICE_TRY(const std::vector<TensorShape> shapes, tensor_shapes(op, suite, workload));
  std::vector<TensorInfo> out;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    TensorInfo info;
    info.name = shapes[i].name;
    info.role = shapes[i].role;
    info.dtype = shapes[i].dtype;
    info.shape = shapes[i].shape;
    info.elements = shapes[i].elements;
    info.bytes = shapes[i].bytes;
    info.fill = op.tensors[i].fill;
    info.row = row_width(info.shape);
    out.push_back(std::move(info));
  }
  return out;
}

WorkloadLayout make_layout(std::string name,
                           std::vector<TensorInfo> tensors,
                           std::uint64_t sets,
                           std::uint64_t slots) {
  WorkloadLayout out;
  out.name = std::move(name);
  out.sets = sets;
  out.slots = slots;
  out.structure_bytes = place(tensors, TensorRole::structure, 0);
  out.set_stride = place(tensors, TensorRole::value, 0);
  out.slot_stride = place(tensors, TensorRole::output, 0);
  for (const TensorInfo& tensor : tensors) {
    out.value_bytes += tensor.role == TensorRole::value ? tensor.bytes : 0;
  }
  out.inputs_bytes = round_up(out.structure_bytes + sets * out.set_stride, kRegionUnit);
  out.outputs_bytes = round_up(slots * out.slot_stride, kRegionUnit);
  out.tensors = std::move(tensors);
  return out;
}

}  // namespace coppice::evaluators::cuda
