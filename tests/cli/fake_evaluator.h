// A fake evaluator: a synthetic cost over axis values, with failures, and no device at all.
#pragma once

#include "core/random.h"
#include "evaluators/evaluator.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <thread>

namespace coppice::tests {

struct FakeOptions {
  std::chrono::microseconds measure_takes{0};
  std::function<void()> before_measure;  // called on the timing thread
  int fail_after = -1;                   // measure() returns an Error after so many calls
  bool baseline = true;                  // there is a library to compare with
  bool opponents = false;                // and others that are not chosen
  bool all_wrong = false;                // no candidate computes what the reference does
  int devices = 1;
  bool costs_vary = false;  // what an evaluation is said to have cost, by candidate
};

// Deterministic in the candidate: the same one always gets the same cost and verdict.
class FakeEvaluator final : public evaluators::Evaluator {
 public:
  explicit FakeEvaluator(FakeOptions options = {}) : options_(std::move(options)) {}

  int devices() const override { return options_.devices; }

  Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token) override {
    ++frozen;
    if (!options_.baseline) {
      return std::vector<BaselineFrozen>{};
    }
    BaselineFrozen baseline;
    baseline.workload = "small";
    baseline.name = "fakeblas:plain:threads=1";
    baseline.median = Nanoseconds{1'000'000};
    baseline.chosen = true;
    std::vector<BaselineFrozen> out;
    if (options_.opponents) {
      out = other_opponents();
    }
    out.push_back(baseline);
    return out;
  }

  static std::vector<BaselineFrozen> other_opponents() {
    std::vector<BaselineFrozen> out(4);
    const char* names[] = {"lostblas", "slowblas", "packedblas", "wrongblas"};
    const int microseconds[] = {0, 2500, 700, 0};
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i].workload = i == 0 ? "" : "small";
      out[i].name = names[i];
      out[i].median = std::chrono::microseconds(microseconds[i]);
    }
    out[0].details = Json::object().set("absent", "no liblostblas here\nand more");
    out[2].prepacked = true;
    out[3].details = Json::object().set("refused", "nrmse 1 > 1e-5");
    return out;
  }

  Result<void> adopt_baselines(const std::vector<BaselineFrozen>& taken, std::stop_token) override {
    adopted += static_cast<int>(taken.size());
    return {};
  }

  evaluators::Built build(const evaluators::EvaluationTask& task, std::stop_token) override {
    ++builds;
    evaluators::Built built;
    // Tests write these words into sources; hashes decide about the rest.
    const bool marked = task.candidate.source.find("FASTER") != std::string::npos;
    const bool broken = task.candidate.source.find("BROKEN") != std::string::npos;
    if (broken || (!marked && hash_of(task.candidate) % 13 == 0)) {
      built.failed = evidence_of(task);
      built.failed->verdict = {
          false, Gate::build, FailureClass::compile_error, "kernel.cpp:1:1: error: no luck"};
    }
    return built;
  }

  Result<Evidence> measure(const evaluators::EvaluationTask& task,
                           const evaluators::Built&,
                           int,
                           std::stop_token) override {
    const int call = measured++;
    if (options_.fail_after >= 0 && call >= options_.fail_after) {
      return Error{ErrorCode::environment, "the fake device is gone"};
    }
    if (options_.before_measure) {
      options_.before_measure();
    }
    std::this_thread::sleep_for(options_.measure_takes);
    Evidence evidence = evidence_of(task);
    if (options_.all_wrong || (task.candidate.source.find("FASTER") == std::string::npos &&
                               hash_of(task.candidate) % 17 == 0)) {
      evidence.verdict = {false, Gate::correctness, FailureClass::wrong_result, "nrmse 0.3 > 1e-5"};
      return evidence;
    }
    evidence.verdict = {true, Gate::evidence, FailureClass::none, ""};
    evidence.performance = performance_of(task.candidate);
    return evidence;
  }

  Json environment() const override {
    Json out = Json::object();
    out.set("device", "fake");
    return out;
  }

  std::atomic<int> frozen{0}, adopted{0}, builds{0}, measured{0};

 private:
  static std::uint64_t hash_of(const Candidate& candidate) { return hash_text(candidate.label); }

  Evidence evidence_of(const evaluators::EvaluationTask& task) const {
    Evidence evidence;
    evidence.attempt = task.attempt;
    evidence.candidate = task.candidate.id;
    evidence.fidelity = task.fidelity;
    evidence.precision = task.candidate.precision;
    const std::uint64_t more = options_.costs_vary ? hash_of(task.candidate) % 900 : 0;
    evidence.cost.device = Nanoseconds(static_cast<std::int64_t>(1'000'000 * (1 + more)));
    return evidence;
  }

  Performance performance_of(const Candidate& candidate) const {
    double cost = candidate.source.find("FASTER") == std::string::npos ? 0.3 : -3.0;
    for (const auto& [name, value] : candidate.axis_values) {
      if (const auto* number = std::get_if<std::int64_t>(&value)) {
        const double x = std::log2(static_cast<double>(*number)) - 3.0;
        cost += 0.1 * x * x;
      } else if (const auto* flag = std::get_if<bool>(&value)) {
        cost += *flag ? -0.2 : 0.0;
      }
    }
    Performance performance;
    performance.baseline = options_.baseline ? "fakeblas:plain:threads=1" : "";
    performance.log_cost = cost;
    performance.log_noise = 0.01;
    performance.speedup = std::exp(-cost);
    performance.speedup_low = performance.speedup * 0.98;
    performance.speedup_high = performance.speedup * 1.02;
    performance.sol_score = 0.5;
    WorkloadTiming row;
    row.workload = "small";
    row.median = Nanoseconds(static_cast<std::int64_t>(1e6 * std::exp(cost)));
    row.baseline_median = Nanoseconds{options_.baseline ? 1'000'000 : 0};
    row.speedup = performance.speedup;
    row.speedup_low = performance.speedup_low;
    row.speedup_high = performance.speedup_high;
    row.samples = 30;
    performance.workloads.push_back(row);
    return performance;
  }

  const FakeOptions options_;
};

}  // namespace coppice::tests
