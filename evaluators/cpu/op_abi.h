// The C interface of an operation's trusted code as this side calls it; must equal
// experiments/include/coppice_op.h (a test compares their sizes through a compiled fixture).
#pragma once

#include "core/op_shapes.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace coppice::evaluators::cpu {

struct AbiTensor {
  const char* name;
  std::int32_t dtype;
  std::int32_t rank;
  std::int64_t shape[8];
  void* data;
};
struct AbiNamed {
  const char* name;
  double value;
};
struct AbiProblem {
  const AbiNamed* dims;
  std::int32_t n_dims;
  const AbiNamed* constants;
  std::int32_t n_constants;
  const AbiNamed* parameters;
  std::int32_t n_parameters;
  const AbiTensor* tensors;
  std::int32_t n_tensors;
  AbiNamed* scalars;
  std::int32_t n_scalars;
  char* message;
  std::size_t message_size;
};

using StructureHook = int (*)(const AbiProblem*, std::uint64_t seed);
using ReferenceHook = int (*)(const AbiProblem*, double* const* outputs, int part, int parts);
using AdjustHook = int (*)(const AbiProblem*, const char* name, std::uint64_t seed);
using BaselineSetup = int (*)(const AbiProblem*, int threads);
using BaselineRun = int (*)(const AbiProblem*);

// One workload in the form that hooks take. Owns names and numbers, not the tensors' data. Does not
// move once made.
class Problem {
 public:
  Problem(const Op& op, const Workload& workload, const std::vector<TensorShape>& tensors);
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;

  void set_data(std::size_t tensor, void* data) { tensors_[tensor].data = data; }
  const AbiProblem* abi() const { return &abi_; }
  ValueMap scalars() const;
  std::string message() const { return message_.data(); }

 private:
  std::vector<std::string> names_;
  std::vector<AbiNamed> dims_, constants_, parameters_, scalars_;
  std::vector<AbiTensor> tensors_;
  std::vector<char> message_;
  AbiProblem abi_{};
};

// A shared object loaded from bytes, and the addresses in it.
class TrustedLibrary {
 public:
  TrustedLibrary() = default;
  static Result<TrustedLibrary> load(std::string_view bytes);
  void* find(const char* name) const;

 private:
  void* handle_ = nullptr;  // never closed: library threads may be left
};

}  // namespace coppice::evaluators::cpu
