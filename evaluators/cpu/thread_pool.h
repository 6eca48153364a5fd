// The workers of a candidate process: made before the process is locked, fetched to the doorbell by
// a signal before each launch.
//
// Candidate code runs in the same address space, and code that looked for it could keep a thread
// for itself after a launch, see the next values when the agent continues the process, and compute
// before the bell. So nothing between two launches goes by what candidate code can write: the agent
// leaves a signal with each stopped thread, which acts before the thread executes one more
// instruction; its handler drops whatever the thread was doing and puts it on its own stack, into
// our code, at the bell. The filter forbids candidate code to block or redirect signals, and the
// addresses that handler and waiting go by lie in read-only memory. Values may therefore be in
// place before the ring. What is left to forge is an answer, `done`, before the work is done: the
// agent stops the process as soon as it sees one, and then judges what is there.
#pragma once

#include "evaluators/cpu/control_block.h"
#include "evaluators/cpu/kernel_loader.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace coppice::evaluators::cpu {

// One step with all addresses filled in.
struct BoundStep {
  KernelEntry entry = nullptr;  // null: a fill
  std::int64_t grid[3] = {1, 1, 1};
  std::vector<void*> args;
  void* fill_at = nullptr;
  std::uint64_t fill_bytes = 0;
  int fill_byte = 0;
};
using BoundPlan = std::vector<BoundStep>;

// Shared by all workers; lives until the process ends, one a process. plans[slot] is what a launch
// into that slot runs.
class ThreadPool {
 public:
  ThreadPool(ControlBlock& control, int workers);
  // Starts threads for workers 1.. ; they sleep until a launch is armed. False: no memory.
  bool start();
  // What threads go by between launches becomes read-only. False where the system refuses.
  bool set_plans(std::vector<BoundPlan> plans);
  // The calling thread becomes a worker; never returns.
  [[noreturn]] void serve();
  // One launch as worker number `worker`, from the bell to the answer.
  void work(int worker, std::uint32_t number);

 private:
  void run_step(const BoundStep& step, std::size_t index, int worker);
  void meet();

  ControlBlock& control_;
  int workers_;
  std::vector<BoundPlan> plans_;
  std::atomic<int> started_{0};
  std::atomic<std::uint32_t> arrived_{0};
  std::atomic<std::uint32_t> generation_{0};           // a futex
  std::unique_ptr<std::atomic<std::int64_t>[]> next_;  // per step: the next task
};

// The signal that fetches a thread to the bell.
int bell_signal();

// Installed in a candidate process: notes a fault in the control block and ends the process, and
// answers the bell's signal. Each thread needs a signal stack, so that stack overflow is seen too.
void watch_signals(ControlBlock& control);
void give_thread_a_signal_stack();

}  // namespace coppice::evaluators::cpu
