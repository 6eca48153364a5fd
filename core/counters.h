// HardwareCounters: what a device's own counters said about a finalist's launches.
#pragma once

#include "core/json.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace coppice {

// Why resident warps did not issue; `share` of the cycles that warps were resident.
struct StallReason {
  std::string name;  // the hardware's word: long_scoreboard, barrier, math_pipe_throttle ..
  double share = 0.0;
  friend bool operator==(const StallReason&, const StallReason&) = default;
};

// One cold launch of the whole plan. A field is empty where the device has no such counter.
struct WorkloadCounters {
  std::string workload;
  std::int64_t passes = 0;  // launches that it took to read all of them
  std::optional<double> dram_read_bytes, dram_write_bytes;
  std::optional<double> l2_hit_share;  // of sectors asked of the L2
  // Shares of what is possible in the cycles in which multiprocessors have work: the profiler's own
  // time around a launch must not count, so idle ones at its end don't either.
  std::optional<double> tensor_active_share, issue_active_share;
  std::optional<double> occupancy_share;  // resident warps of the most
  std::vector<StallReason> stalls;        // largest first
  friend bool operator==(const WorkloadCounters&, const WorkloadCounters&) = default;
};

// Read once a workload, after all timing, in a process of its own; no decision reads them.
struct HardwareCounters {
  std::string source;       // "CUPTI 13.0 range profiler"; empty when it could not be had
  std::string unavailable;  // why there are none, or not all
  std::vector<WorkloadCounters> workloads;
  friend bool operator==(const HardwareCounters&, const HardwareCounters&) = default;
};

Json to_json(const WorkloadCounters& counters);
Json to_json(const HardwareCounters& counters);
Result<WorkloadCounters> workload_counters(const JsonReader& json);
Result<HardwareCounters> hardware_counters(const JsonReader& json);

// "reads 134 MB, writes 0.1 MB; L2 hits 12 %; tensor pipes 3 %, issue slots 9 %, occupancy 24 %;
// warps wait for long_scoreboard 61 %, barrier 12 %"
std::string text_of(const WorkloadCounters& counters);

}  // namespace coppice
