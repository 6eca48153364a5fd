// The operation's trusted host code (reference.cpp) for the judge's side: structure, fp64
// reference, adjusted values. Compiled once with the host's compiler and loaded into the agent,
// which runs no candidate code.
#pragma once

#include "core/op.h"
#include "evaluators/cuda/layout.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

class HostReference {
 public:
  // Errors: no compiler (environment), source does not compile (config; with its first error).
  static Result<std::unique_ptr<HostReference>> build(const Op& op);
  ~HostReference();
  HostReference(const HostReference&) = delete;
  HostReference& operator=(const HostReference&) = delete;

  struct Structure {
    std::map<std::string, std::string, std::less<>> tensors;  // name to bytes
    ValueMap scalars;
  };
  Result<Structure> structure(const Workload& workload,
                              const std::vector<TensorInfo>& tensors) const;

  // `inputs`: bytes of every value and structure tensor. Outputs in contract order.
  using Inputs = std::map<std::string, std::string, std::less<>>;
  Result<std::vector<std::vector<double>>> reference(const Workload& workload,
                                                     const std::vector<TensorInfo>& tensors,
                                                     Inputs& inputs) const;
  // Edits `inputs` for a named case.
  Result<void> adjust(const Workload& workload,
                      const std::vector<TensorInfo>& tensors,
                      const std::string& name,
                      std::uint64_t seed,
                      Inputs& inputs) const;

 private:
  struct Problem;
  HostReference(const Op& op, void* library, std::string file);
  const Op& op_;  // outlives this
  void* library_ = nullptr;
  std::string file_;
};

}  // namespace coppice::evaluators::cuda
