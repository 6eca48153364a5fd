// The C interface of an operation's trusted host code as the caller sees it; must equal
// experiments/include/coppice_op.h, which only op sources may include.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coppice::evaluators::cuda {

struct HostTensor {
  const char* name;
  std::int32_t dtype;
  std::int32_t rank;
  std::int64_t shape[8];
  void* data;
};

struct HostNamed {
  const char* name;
  double value;
};

struct HostProblem {
  const HostNamed* dims;
  std::int32_t n_dims;
  const HostNamed* constants;
  std::int32_t n_constants;
  const HostNamed* parameters;
  std::int32_t n_parameters;
  const HostTensor* tensors;
  std::int32_t n_tensors;
  HostNamed* scalars;
  std::int32_t n_scalars;
  char* message;
  std::size_t message_size;
};

using StructureHook = int (*)(const HostProblem*, std::uint64_t seed);
using ReferenceHook = int (*)(const HostProblem*, double* const* outputs, int part, int parts);
using AdjustHook = int (*)(const HostProblem*, const char* name, std::uint64_t seed);

}  // namespace coppice::evaluators::cuda
