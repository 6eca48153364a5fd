// OpponentClient: a library's implementation in a Python process of its own, run on the very same
// device memory as the candidates.
#pragma once

#include "evaluators/child.h"
#include "evaluators/cuda/clients.h"
#include "evaluators/cuda/layout.h"

#include <map>
#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

struct OpponentWorkload {
  std::uint64_t index = 0;  // the lane's
  WorkloadLayout layout;
  DimMap dims;
  SharedRegions regions;
};

struct OpponentSetup {
  std::string name;
  std::string source;  // the operation's baseline.py; trusted, as its reference is
  std::map<std::string, std::string, std::less<>> environment;
  int device = 0;
  ValueMap constants;
  std::vector<OpponentWorkload> workloads;
};

// Requests and answers are lines of JSON over the process's standard streams.
// open: device, constants, workloads [{name, dims, inputs, outputs (handles in hex), inputs_bytes,
//   outputs_bytes, tensors [{name, role, dtype, shape, bytes, offset, stride}]}]
//   -> {outputs, details}, {missing} (no claim is made against it), or {error}
// run: workload, items [[slot, set]], flush_bytes, warm_up -> {microseconds} or {error}
// Used by one thread; the destructor ends the process.
class OpponentClient final : public BlockRunner {
 public:
  // ErrorCode::missing: the opponent is not to be had here, and why. Anything else is a mistake of
  // the opponent's own code.
  static Result<std::unique_ptr<OpponentClient>> start(const OpponentSetup& setup,
                                                       Nanoseconds deadline);
  ~OpponentClient() override;

  const std::vector<std::string>& outputs() const { return outputs_; }
  const Json& details() const { return details_; }
  Result<RunResult> run(std::uint64_t workload,
                        const RunOptions& options,
                        const std::vector<RunItem>& items,
                        Nanoseconds deadline) override;
  bool kill() override { return child_.kill(); }

 private:
  OpponentClient() = default;
  std::string last_words();
  Result<Json> ask(const Json& request, Nanoseconds deadline);

  std::string folder_;
  Child child_;
  Fd to_, from_;
  std::string unread_;
  std::map<std::uint64_t, std::size_t> places_;  // lane's index to the opponent's
  std::vector<std::string> outputs_;
  Json details_;
};

// The program that runs opponents: COPPICE_PYTHON, else python3.
std::string python_program();

}  // namespace coppice::evaluators::cuda
