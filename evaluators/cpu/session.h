// Everything that an open CPU device holds between tasks.
#pragma once

#include "evaluators/cpu/ceiling_record.h"
#include "evaluators/cpu/helpers.h"
#include "evaluators/cpu/host_toolchain.h"
#include "evaluators/cpu/machine.h"
#include "evaluators/cpu/station.h"
#include "evaluators/device_backend.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coppice::evaluators::cpu {

// Work and traffic of one workload, from the contract's cost model.
struct WorkloadCost {
  double flops = 0.0, bytes = 0.0;
};

struct ChosenBaseline {
  std::string name;
  std::size_t runner = 0;  // into CpuSession::runners
  Nanoseconds median{};
};

struct CpuSession {
  DeviceSession config;
  const Suite* suite = nullptr;
  Machine machine;
  Ceilings ceilings;                     // the best on record, or what a candidate showed since
  std::size_t ceiling_measurements = 0;  // that they are the best of
  double launch_resolution = 0.0;        // seconds; by so much empty launches differ
  int threads = 1;                       // of the lane
  std::unique_ptr<HostToolchain> toolchain;
  std::optional<JudgeClient> judge;
  std::optional<CandidateLauncher> launcher;
  std::map<std::string, ValueMap> scalars;
  std::map<std::string, Station, std::less<>> stations;
  std::vector<Runner> runners;                                // baseline processes, frozen
  std::map<std::string, ChosenBaseline, std::less<>> chosen;  // by workload
  std::vector<BaselineFrozen> frozen;
  std::optional<std::uint64_t> search_seed;

  const Workload* workload(std::string_view name) const;
  bool is_timed(std::string_view name) const;
  // The station of a workload, opened on first use.
  Result<Station*> station(const std::string& name);
  Result<WorkloadCost> cost(const std::string& name) const;
  bool skips(Gate gate) const;
  // How long a launch of this workload may take before it counts as a hang.
  Nanoseconds launch_deadline(const std::string& name) const;
  CeilingSource ceiling_source() const {
    return {machine, config.cache_folder, measure_ceilings, {}};
  }
  // Starts a fresh launcher when the old one is lost (new address-space layout, too).
  Result<void> renew_launcher();
};

// Compiles the reference, starts judge and launcher, measures the machine.
Result<std::unique_ptr<CpuSession>> open_session(DeviceSession config, std::stop_token stop);

// Compiled trusted code, through the cache folder when there is one. `missing` is set, and no error
// returned, when a library that it needs is not installed.
Result<std::string> build_trusted(CpuSession& session,
                                  const std::string& source_name,
                                  const std::string& source,
                                  const std::string& library,
                                  bool& missing,
                                  std::stop_token stop);

// freeze.cpp
Result<void> freeze(CpuSession& session, std::stop_token stop);
Result<void> adopt(CpuSession& session,
                   const std::vector<BaselineFrozen>& frozen,
                   std::stop_token stop);

// One launch of the frozen baseline of a workload on the values of `entry`.
Result<Launch> launch_baseline(CpuSession& session,
                               Station& station,
                               std::uint64_t entry,
                               std::uint32_t poison);

}  // namespace coppice::evaluators::cpu
