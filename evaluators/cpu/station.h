// The shared memory of one workload: a pool of drawn values, the working inputs that launches see,
// a ring of output slots, and the workspace.
#pragma once

#include "evaluators/cpu/helpers.h"
#include "evaluators/cpu/layout.h"
#include "evaluators/cpu/shared_memory.h"

#include <string>
#include <vector>

namespace coppice::evaluators::cpu {

struct StationSize {
  std::uint64_t timed_entries = 2;  // pool entries for timed launches; the rest follow them
  std::uint64_t case_entries = 0;
  std::uint64_t slots = 2;  // output slots of a candidate; one more belongs to the baseline
};

class Station {
 public:
  static Result<Station> open(JudgeClient& judge,
                              const Workload& workload,
                              std::vector<TensorShape> tensors,
                              StationSize size);

  const std::string& name() const { return name_; }
  const std::vector<TensorShape>& tensors() const { return tensors_; }
  const StationSize& size() const { return size_; }
  const Layout& layout() const { return layout_; }  // unshifted: the baseline's and the timing's
  Layout shifted(int shift) const { return make_layout(tensors_, shift); }
  std::uint64_t origin(std::uint64_t slot) const { return slot * layout_.slot_bytes; }
  std::uint64_t baseline_slot() const { return size_.slots; }
  int inputs_fd() const { return inputs_.fd(); }
  int outputs_fd() const { return outputs_.fd(); }
  // Memory for a candidate's workspace, at least `bytes`.
  Result<int> workspace_fd(std::uint64_t bytes);

  // What entry `i` holds is drawn on demand by the judge and kept until other values are asked for.
  Result<JudgeClient::Drawn> draw(JudgeClient& judge,
                                  std::uint64_t entry,
                                  const std::string& value_case,
                                  std::uint64_t seed);

  // Before a launch: values of `entry` into the working inputs, poison into the slot and the
  // workspace; none of it left in a cache.
  struct Refresh {
    std::uint64_t entry = 0;
    std::uint64_t slot = 0;
    std::uint32_t poison = 0;
    std::uint64_t workspace_bytes = 0;
    int threads = 1;
  };
  void refresh(const Layout& layout, const Refresh& what);

  // Nothing when all bytes around the outputs of a slot are as they were; else what was written.
  std::optional<std::string> damage(const Layout& layout, std::uint64_t slot) const;

  std::uint64_t bytes() const;

 private:
  void place_structure(const Layout& layout, int threads);

  std::string name_;
  std::vector<TensorShape> tensors_;
  StationSize size_;
  Layout layout_;
  SharedMemory pool_, inputs_, outputs_, workspace_;
  std::uint64_t structure_at_ = 0;  // offset in the pool
  std::vector<std::string> drawn_;  // per entry: what the judge last put there
};

}  // namespace coppice::evaluators::cpu
