// EvaluationPool: the threads that compile candidates and time them, one timing thread a device.
#pragma once

#include "cli/machine_gate.h"
#include "cli/work_queue.h"
#include "evaluators/evaluator.h"

#include <atomic>
#include <chrono>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

namespace coppice::cli {

// What came of one task; an Error means that the evaluator can't go on. With `lost`, a device
// dropped out instead: the attempt is still under way, on another one.
struct Finished {
  AttemptId attempt;
  Result<Evidence> evidence;
  std::optional<int> lost = std::nullopt;
};

struct PoolOptions {
  int compile_jobs = 1;
  int devices = 1;
  int lanes = 1;                  // tasks in the pool at most: bounds every queue
  bool exclusive_timing = false;  // compiling pauses while timing
};

// Any candidate goes compile queue -> timing queue -> results; one that can't be built goes to the
// results at once. A device that is lost hands its candidate to the others; the last one's loss is
// the run's. submit() and next() are for one thread. The destructor stops what is under way.
class EvaluationPool {
 public:
  EvaluationPool(evaluators::Evaluator& evaluator, const PoolOptions& options);
  EvaluationPool(const EvaluationPool&) = delete;
  EvaluationPool& operator=(const EvaluationPool&) = delete;
  ~EvaluationPool();

  void submit(evaluators::EvaluationTask task);
  // The next result in arrival order, waiting at most `patience`.
  std::optional<Finished> next(std::chrono::nanoseconds patience);
  // Asks the evaluator to give up what is under way; results still arrive.
  void stop();

 private:
  struct Ready {
    evaluators::EvaluationTask task;
    evaluators::Built built;
    Nanoseconds compiled_at{};
  };
  void compile_loop(std::stop_token stop);
  void timing_loop(int device, std::stop_token stop);
  bool leave(const Error& error);

  evaluators::Evaluator& evaluator_;
  MachineGate gate_;
  WorkQueue<evaluators::EvaluationTask> to_compile_;
  WorkQueue<Ready> to_time_;
  WorkQueue<Finished> results_;
  std::atomic<int> alive_{0};  // devices that still measure
  std::stop_source stop_;
  std::vector<std::jthread> threads_;
};

}  // namespace coppice::cli
