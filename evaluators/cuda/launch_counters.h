// Counters of cold launches on this process's device: the L2 holds clean foreign lines before each.
#pragma once

#include "core/counters.h"
#include "evaluators/cuda/device.h"
#include "evaluators/cuda/range_profiler.h"

#include <functional>
#include <memory>
#include <string>

namespace coppice::evaluators::cuda {

class LaunchCounters {
 public:
  // `trusted_cubin`: the judge's kernels. `device` outlives this. Errors say in one line why there
  // are no counters here.
  static Result<std::unique_ptr<LaunchCounters>> open(const Device& device,
                                                      const std::string& trusted_cubin);
  std::string source() const;

  // `prepare` and `launch` only enqueue; both are called once a pass.
  Result<WorkloadCounters> read(const std::function<Result<void>()>& prepare,
                                const std::function<Result<void>()>& launch);

 private:
  explicit LaunchCounters(const Device& device) : device_(device) {}
  Result<void> scrub_l2() const;

  const Device& device_;
  std::string name_;
  std::unique_ptr<RangeProfiler> profiler_;
  Function digest_ = nullptr;
  DevicePtr scrub_ = 0;
  std::uint64_t scrub_bytes_ = 0;
};

// Whether the counters of a device can be read here, tried in a process of its own: what would read
// them, or an `environment` error in one line.
Result<std::string> probe_counters(int ordinal);

}  // namespace coppice::evaluators::cuda
