// One candidate under examination: the gates in their order, until one refuses it.
#pragma once

#include "core/random.h"
#include "evaluators/cpu/session.h"
#include "evaluators/timing_stats.h"

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace coppice::evaluators::cpu {

// Refused: the verdict says where and why. An Error is our own failure.
using Refusal = std::optional<Verdict>;

struct TimedWorkload {
  WorkloadTiming timing;
  Interval log_ratio;  // ln(baseline / candidate); without a baseline -ln(milliseconds)
  bool noisy = false;
};

class Examination {
 public:
  Examination(CpuSession& session, const DeviceTask& task, std::stop_token stop);
  Result<Evidence> run();

 private:
  // One candidate process for one workload, replaced when it has seen all values or died.
  struct Bench {
    const DeviceWorkload* work = nullptr;
    Station* station = nullptr;
    Layout layout;
    WorkspaceLayout workspace;
    std::optional<Runner> runner;
    std::uint64_t next_slot = 0;
  };

  // checks.cpp
  Refusal check_source() const;
  Refusal check_binaries() const;
  Refusal check_plans() const;
  Result<Refusal> check_cases();
  Result<Refusal> check_state();
  Result<Refusal> check_hidden();
  Result<Refusal> check_on(Bench& bench, std::uint64_t entry, Gate gate, const std::string& label);

  // timing.cpp
  Result<Refusal> time_all();
  Result<Refusal> time_workload(const DeviceWorkload& work, TimedWorkload& out);
  Result<Refusal> take_pairs(Bench& bench, std::vector<Pair>& pairs, std::int64_t& dropped);
  Result<Refusal> take_pair(
      Bench& bench, std::uint64_t entry, bool candidate_first, Pair& pair, double& waited);
  Refusal check_physics(const TimedWorkload& timed, const WorkloadCost& cost);
  Result<Refusal> reverify(const std::vector<TimedWorkload>& first);
  void write_performance(const std::vector<TimedWorkload>& timed);

  Result<Bench> bench(const DeviceWorkload& work, int shift);
  Result<Refusal> ensure_process(Bench& bench, Gate gate);
  Result<Launch> launch(Bench& bench, std::uint64_t entry, std::uint32_t poison);
  Result<Refusal> judge(
      Bench& bench, std::uint64_t entry, std::uint32_t poison, Gate gate, const std::string& label);
  Refusal refusal_of(const Launch& launch, Gate gate, const std::string& where) const;
  Verdict refuse(Gate gate, FailureClass failure, std::string message) const;
  const DeviceWorkload& smallest() const;
  std::uint32_t fresh_poison();
  std::uint64_t seed_of(const std::string& workload,
                        const std::string& value_case,
                        std::uint64_t index) const;
  Evidence finish(const Refusal& refusal);
  void note(Gate passed) { passed_ = passed; }

  CpuSession& s_;
  const DeviceTask& task_;
  std::stop_token stop_;
  Evidence evidence_;
  Gate passed_ = Gate::contract;
  Rng rng_;
  std::uint64_t values_seed_;
  std::map<Digest, SharedMemory> binaries_;
  Json errors_ = Json::object();  // worst share of a limit by workload and case
  std::vector<std::pair<std::string, double>> worst_;
  Nanoseconds started_{};
  std::int64_t processes_ = 0, launches_ = 0;
  bool surprise_ = false;
  Json partial_;  // of a candidate that was stopped early
};

}  // namespace coppice::evaluators::cpu
