// A process that runs launches on request, as the agent sees it: start, launch, freeze between
// launches, end; and what happened when it did not go well.
#pragma once

#include "core/evidence.h"
#include "evaluators/child.h"
#include "evaluators/cpu/candidate_process.h"
#include "evaluators/cpu/control_block.h"
#include "evaluators/cpu/shared_memory.h"

#include <optional>
#include <string>
#include <vector>

namespace coppice::evaluators::cpu {

struct Launch {
  FailureClass failure = FailureClass::none;  // crash, hang, sandbox_violation, ...
  std::optional<Gate> gate;                   // where a fault says so: write_set or memory_safety
  std::string message;
  Nanoseconds elapsed{};  // from doorbell to answer, by our clock
  // Time that threads of the process were ready but not running during the launch.
  Nanoseconds waited{};
  bool ok() const { return failure == FailureClass::none; }
};

// Run-queue waiting times of all threads of a process, from outside.
class WaitProbe {
 public:
  WaitProbe() = default;
  explicit WaitProbe(pid_t pid);
  Nanoseconds total() const;

 private:
  std::vector<Fd> files_;
};

// Used by one thread, the one that created it.
class Runner {
 public:
  // Takes over a started process (our child) and its control block. Waits until it can be launched.
  // `layout` names the tensors in messages about faults.
  static Result<Runner> adopt(pid_t pid, SharedMemory control, Layout layout, Launch& outcome);
  Runner(Runner&& other) noexcept;
  Runner& operator=(Runner&& other) noexcept;
  ~Runner() { end(); }

  // One launch; the process is running before and frozen after it.
  Launch launch(std::uint32_t slot, std::uint32_t workload, Nanoseconds deadline);
  bool freeze();
  bool alive() const { return pid_ > 0; }
  void end();
  Isolation isolation_level() const;
  std::int32_t status() const { return block().status; }
  std::int64_t launches() const { return launches_; }

 private:
  Runner(pid_t pid, SharedMemory control, Layout layout)
      : pid_(pid), control_(std::move(control)), layout_(std::move(layout)) {}
  ControlBlock& block() const { return *reinterpret_cast<ControlBlock*>(control_.data()); }
  // When the process has ended: why. Nothing while it lives.
  std::optional<Launch> post_mortem();
  void resume();

  pid_t pid_ = -1;
  SharedMemory control_;
  Layout layout_;
  WaitProbe probe_;
  bool frozen_ = false;
  std::int64_t launches_ = 0;
};

// Classifies an ended process by its wait status and what it noted about a fault.
Launch classify(int status, const ControlBlock& control, const Layout& layout);

}  // namespace coppice::evaluators::cpu
