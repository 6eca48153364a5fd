// Runs the compile and timing threads.
#include "cli/evaluation_pool.h"

#include "archive/lane_use.h"

#include <algorithm>

namespace coppice::cli {
namespace {

Nanoseconds steady_now() {
  return std::chrono::steady_clock::now().time_since_epoch();
}

}  // namespace

EvaluationPool::EvaluationPool(evaluators::Evaluator& evaluator, const PoolOptions& options)
    : evaluator_(evaluator),
      gate_(options.exclusive_timing),
      to_compile_(static_cast<std::size_t>(std::max(1, options.lanes))),
      to_time_(static_cast<std::size_t>(std::max(1, options.lanes))),
      results_(
          static_cast<std::size_t>(std::max(1, options.lanes) + std::max(1, options.devices))) {
  for (int i = 0; i < std::max(1, options.compile_jobs); ++i) {
    threads_.emplace_back([this] { compile_loop(stop_.get_token()); });
  }
  const int devices = std::clamp(options.devices, 1, std::max(1, evaluator_.devices()));
  alive_ = devices;
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
      to_time_.push(Ready{std::move(*task), std::move(built), steady_now()}, std::stop_token());
    }
  }
}

// Whether a device may drop out: its own failure, and not the last one.
bool EvaluationPool::leave(const Error& error) {
  if (error.code != ErrorCode::environment && error.code != ErrorCode::io) {
    return false;
  }
  int alive = alive_.load();
  while (alive > 1 && !alive_.compare_exchange_weak(alive, alive - 1)) {
  }
  return alive > 1;
}

void EvaluationPool::timing_loop(int device, std::stop_token stop) {
  Nanoseconds free_since = steady_now();
  while (auto ready = to_time_.pop(stop)) {
    const Nanoseconds taken = steady_now();
    archive::LaneUse use;
    use.device = device;
    use.waited = taken - ready->compiled_at;
    use.idle = std::max(Nanoseconds{0}, ready->compiled_at - free_since);
    const MachineGate::Pass pass(gate_, true);
    Result<Evidence> evidence = evaluator_.measure(ready->task, ready->built, device, stop);
    if (!evidence.ok() && !stop.stop_requested() && leave(evidence.error())) {
      results_.push(Finished{ready->task.attempt, evidence.error(), device}, std::stop_token());
      to_time_.push(std::move(*ready), std::stop_token());
      return;
    }
    const Nanoseconds done = steady_now();
    if (evidence.ok()) {
      use.loaded = done - std::max(free_since, ready->compiled_at);
      archive::set_lane_use(*evidence, use);
    }
    free_since = done;
    results_.push(Finished{ready->task.attempt, std::move(evidence)}, std::stop_token());
  }
}

}  // namespace coppice::cli
