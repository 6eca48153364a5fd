// A process that runs launches on request, as the agent sees it: start, launch, freeze between
// launches, end; and what happened when it did not go well.
//
// A launch has three parts: the stopped process continues and its threads gather at the bell; the
// clock starts and the bell rings; the answer comes, the clock stops, and the process is stopped.
// While a core is left for it, the agent waits for the answer awake, otherwise asleep.
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
  // Time that threads of the process, or we who wait for them, were ready but not running during
  // the launch, beyond what handing over a core costs.
  Nanoseconds waited{};
  bool ok() const { return failure == FailureClass::none; }
};

// Run-queue waiting times of all threads of a process, from outside, and of the calling thread.
class WaitProbe {
 public:
  WaitProbe() = default;
  explicit WaitProbe(pid_t pid);
  Nanoseconds total() const;
  const std::vector<pid_t>& threads() const { return threads_; }

 private:
  std::vector<Fd> files_;
  std::vector<pid_t> threads_;
};

// Who works in a process, and how its threads get to the bell.
struct Crew {
  // Candidates: all threads of the process are fetched by a signal (see thread_pool.h). Otherwise
  // one thread waits for the arming by itself; a library's own threads are its business.
  bool fetched = false;
  int threads = 1;  // that compute at the same time; fetched: as many as the process has
};

// Used by one thread, the one that created it.
class Runner {
 public:
  // Takes over a started process (our child) and its control block. Waits until it can be launched.
  // `layout` names the tensors in messages about faults.
  static Result<Runner> adopt(
      pid_t pid, SharedMemory control, Layout layout, Crew crew, Launch& outcome);
  Runner(Runner&& other) noexcept;
  Runner& operator=(Runner&& other) noexcept;
  ~Runner() { end(); }

  // One launch; the process is frozen after it.
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
  void spread_out(std::size_t our_core);
  // Brings the threads to the bell of launch `number`. Something: it failed.
  std::optional<Launch> arm(std::uint32_t number, std::size_t our_core);
  std::optional<Launch> await(std::uint32_t number, Nanoseconds start, Nanoseconds deadline);
  bool awake() const;  // a core is left for us while the crew works

  pid_t pid_ = -1;
  SharedMemory control_;
  Layout layout_;
  WaitProbe probe_;
  Crew crew_;
  std::optional<std::size_t> our_core_;  // while launching, as the crew was spread out last
  bool frozen_ = false;
  std::int64_t launches_ = 0;
};

// Classifies an ended process by its wait status and what it noted about a fault.
Launch classify(int status, const ControlBlock& control, const Layout& layout);

}  // namespace coppice::evaluators::cpu
