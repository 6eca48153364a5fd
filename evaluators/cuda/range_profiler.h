// Hardware counters around launches of our own: the caller launches the same work once a pass, so
// nothing is saved, restored or replayed behind its back.
#pragma once

#include "core/counters.h"
#include "evaluators/cuda/cupti_api.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

// The metrics that WorkloadCounters is made of; where a name differs by generation, all of them.
std::vector<std::string> counter_metrics();
// `values` by metric name; what is missing there is left empty.
WorkloadCounters counters_of(const std::map<std::string, double, std::less<>>& values);

// Used by one thread, which has `context` current. Every error says what CUPTI refused.
class RangeProfiler {
 public:
  // Metrics that the device does not have are left out and listed in `missing`.
  static Result<std::unique_ptr<RangeProfiler>> open(std::shared_ptr<const CuptiApi> api,
                                                     Context context,
                                                     int device,
                                                     const std::vector<std::string>& metrics);
  ~RangeProfiler();
  RangeProfiler(const RangeProfiler&) = delete;
  RangeProfiler& operator=(const RangeProfiler&) = delete;

  const std::vector<std::string>& metrics() const { return metrics_; }
  const std::vector<std::string>& missing() const { return missing_; }

  struct Work {
    std::function<Result<void>()> before;  // unmeasured: flush and wait
    std::function<Result<void>()> launch;  // measured: launch and wait
  };
  struct Reading {
    std::map<std::string, double, std::less<>> values;
    std::int64_t passes = 0;
  };
  Result<Reading> read(const Work& work);

 private:
  explicit RangeProfiler(std::shared_ptr<const CuptiApi> api) : api_(std::move(api)) {}
  Result<void> look_at_chip(Context context, int device);
  Result<void> open_host();
  void close_host();
  Result<void> choose(const std::vector<std::string>& metrics);
  Result<void> plan_passes();
  Result<void> one_pass(const Work& work, bool& last);

  std::shared_ptr<const CuptiApi> api_;
  std::string chip_;
  std::vector<std::string> metrics_, missing_;
  std::vector<const char*> names_;
  std::vector<std::uint8_t> availability_, config_;
  void* host_ = nullptr;
  void* profiler_ = nullptr;
};

}  // namespace coppice::evaluators::cuda
