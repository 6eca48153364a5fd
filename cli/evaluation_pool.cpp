// Runs the compile and timing threads.
#include "cli/evaluation_pool.h"

#include <algorithm>

namespace coppice::cli {

EvaluationPool::EvaluationPool(evaluators::Evaluator& evaluator, const PoolOptions& options)
    : evaluator_(evaluator),
      gate_(options.exclusive_timing),
      to_compile_(static_cast<std::size_t>(std::max(1, options.lanes))),
      to_time_(static_cast<std::size_t>(std::max(1, options.lanes))),
      results_(static_cast<std::size_t>(std::max(1, options.lanes))) {
  for (int i = 0; i < std::max(1, options.compile_jobs); ++i) {
    threads_.emplace_back([this] { compile_loop(stop_.get_token()); });
  }
  const int devices = std::clamp(options.devices, 1, std::max(1, evaluator_.devices()));
  for (int device = 0; device < devices; ++device) {
    threads_.emplace_back([this, device] { timing_loop(device, stop_.get_token()); });
  }
}

EvaluationPool::~EvaluationPool() {
  stop();
}

void EvaluationPool::submit(evaluators::EvaluationTask task) {
  // The pool holds at most `lanes` tasks, so that no queue is ever full.
  to_compile_.push(std::move(task), std::stop_token());
}

std::optional<Finished> EvaluationPool::next(std::chrono::nanoseconds patience) {
  return results_.pop_for(patience);
}

void EvaluationPool::stop() {
  stop_.request_stop();
}

void EvaluationPool::compile_loop(std::stop_token stop) {
  while (auto task = to_compile_.pop(stop)) {
    evaluators::Built built;
    {
      const MachineGate::Pass pass(gate_, false);
      built = evaluator_.build(*task, stop);
    }
    if (built.failed) {
      results_.push(Finished{task->attempt, std::move(*built.failed)}, std::stop_token());
    } else {
      to_time_.push(Ready{std::move(*task), std::move(built)}, std::stop_token());
    }
  }
}

void EvaluationPool::timing_loop(int device, std::stop_token stop) {
  while (auto ready = to_time_.pop(stop)) {
    const MachineGate::Pass pass(gate_, true);
    Result<Evidence> evidence = evaluator_.measure(ready->task, ready->built, device, stop);
    results_.push(Finished{ready->task.attempt, std::move(evidence)}, std::stop_token());
  }
}

}  // namespace coppice::cli
