// The workers of a candidate process: made before the process is locked, woken by the doorbell
// itself, so that a launch costs one wake-up.
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

// Shared by all workers; lives until the process ends. plans[slot] is what a launch into that slot
// runs.
class ThreadPool {
 public:
  ThreadPool(ControlBlock& control, int workers);
  // Starts workers 1.. ; they wait until serve() is called.
  void start();
  void set_plans(std::vector<BoundPlan> plans);
  // The calling thread becomes worker 0; never returns.
  [[noreturn]] void serve();

 private:
  [[noreturn]] void work(int worker);
  void run_step(const BoundStep& step, std::size_t index, int worker);
  void meet();

  ControlBlock& control_;
  int workers_;
  std::vector<BoundPlan> plans_;
  std::atomic<int> ready_{0};           // workers that wait for the plans
  std::atomic<std::uint32_t> open_{0};  // a futex: 1 once plans are set
  std::atomic<std::uint32_t> arrived_{0};
  std::atomic<std::uint32_t> generation_{0};           // a futex
  std::unique_ptr<std::atomic<std::int64_t>[]> next_;  // per step: the next task
};

// Installed in each thread of a candidate process: notes a fault in the control block and ends the
// process. Runs on its own stack, so that stack overflow is seen too.
void watch_faults(ControlBlock& control);
void give_thread_a_signal_stack();

}  // namespace coppice::evaluators::cpu
