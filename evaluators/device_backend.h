// DeviceBackend: what a device agent does on its host; tensors never leave it, only plans, seeds,
// digests, samples and verdicts do. One implementation per kind of device (cpu/, cuda/).
#pragma once

#include "core/event.h"
#include "core/evidence.h"
#include "core/op.h"
#include "core/result.h"

#include <map>
#include <stop_token>
#include <string>
#include <vector>

namespace coppice::evaluators {

// What to open before the first task: an op restricted to one suite.
struct DeviceSession {
  Op op;
  std::string suite;
  int lane_threads = 0;            // cpu: worker threads a candidate may use; 0 = all cores
  std::string isolation = "best";  // minimum level demanded: best, none, process, namespaces, full
  std::string cache_folder;        // of compiled references and baselines; empty: no cache
  std::map<std::string, double, std::less<>> peaks, ceilings;  // of the target's table, by name
  bool thorough = false;         // an op is being checked: more effort on its references
  std::vector<Gate> skip_gates;  // only for tests of the judge itself: shows that a gate is needed
};

// A candidate built and resolved for every workload it is to run.
struct DeviceWorkload {
  std::string workload;  // name in the suite (timed or hidden)
  ResolvedPlan plan;
  Digest binary;  // into DeviceTask::binaries
};
struct DeviceTask {
  AttemptId attempt;
  CandidateId candidate;
  Fidelity fidelity = Fidelity::search;
  std::string precision;  // class whose tolerance applies
  std::uint64_t secret_seed = 0;
  double best_log_cost = 0.0;  // for early stop; +inf = none
  std::vector<DeviceWorkload> timed;
  std::vector<DeviceWorkload> hidden;
  std::map<Digest, std::string> binaries;
  std::string source;  // for the scan gate
};

// Used by one thread. Errors mean that the device or the judge is lost; a failing candidate is
// Evidence.
class DeviceBackend {
 public:
  virtual ~DeviceBackend() = default;
  virtual Json probe() = 0;  // device, driver, ceilings, isolation level reached
  virtual Result<void> open(DeviceSession session, std::stop_token stop) = 0;
  // host scalars that the structure hook derived, per workload: plans may name them
  virtual Result<std::map<std::string, ValueMap>> host_scalars() = 0;
  virtual Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token stop) = 0;
  // Takes over what an earlier agent or session of this machine froze, instead of freezing again.
  virtual Result<void> adopt_baselines(const std::vector<BaselineFrozen>& frozen,
                                       std::stop_token stop) = 0;
  virtual Result<Evidence> evaluate(const DeviceTask& task, std::stop_token stop) = 0;
};

}  // namespace coppice::evaluators
