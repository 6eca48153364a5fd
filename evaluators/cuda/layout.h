// Where a workload's tensors lie in the three shared regions: inputs, output ring, workspace.
#pragma once

#include "core/op.h"
#include "core/result.h"

#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

// `value` rounded up to a multiple of `unit`.
inline std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

inline constexpr std::uint64_t kGuardBytes = 64 << 10;    // on both sides of every tensor
inline constexpr std::uint64_t kRegionUnit = 2ull << 20;  // IPC shares whole blocks of this size
inline constexpr unsigned char kPoison = 0xff;  // a NaN in every floating type; -1 in integers

// The most by which rounding to a floating type moves a number, as a share of it; 0 for others.
double largest_rounding(DType type);

// What the judge keeps of an output that the reference computed: floating ones in f32, whatever the
// tensor's own type, integers as they are.
DType expected_type(DType type);

struct TensorInfo {
  std::string name;
  TensorRole role = TensorRole::value;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t elements = 0, bytes = 0;
  std::uint64_t row = 1;  // elements that are compared together
  Fill fill;
  std::uint64_t offset = 0;  // in its set (value), slot (output) or region (structure)
};

struct WorkloadLayout {
  std::string name;
  std::vector<TensorInfo> tensors;  // contract order
  std::uint64_t sets = 0, slots = 0;
  std::uint64_t structure_bytes = 0;  // value set i starts at structure_bytes + i * set_stride
  std::uint64_t set_stride = 0, slot_stride = 0;
  std::uint64_t inputs_bytes = 0, outputs_bytes = 0;
  std::uint64_t value_bytes = 0;  // of one set, without guards

  std::uint64_t input_offset(const TensorInfo& tensor, std::uint64_t set) const;
  std::uint64_t output_offset(const TensorInfo& tensor, std::uint64_t slot) const {
    return slot * slot_stride + tensor.offset;
  }
  const TensorInfo* find(std::string_view name) const;
};

// The contract's tensors for one workload. Errors name tensor and expression.
Result<std::vector<TensorInfo>> tensor_infos(const Op& op,
                                             const Suite& suite,
                                             const Workload& workload);

WorkloadLayout make_layout(std::string name,
                           std::vector<TensorInfo> tensors,
                           std::uint64_t sets,
                           std::uint64_t slots);

}  // namespace coppice::evaluators::cuda
