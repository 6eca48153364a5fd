// From a lane's result to an evidence packet: times, floors, scores, resources.
#pragma once

#include "core/evidence.h"
#include "evaluators/cuda/lane.h"
#include "evaluators/cuda/launch.h"
#include "evaluators/device_backend.h"

#include <map>
#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

struct EvidenceContext {
  const Op* op = nullptr;
  const Suite* suite = nullptr;
  const CudaLane* lane = nullptr;
  Json facts;
  std::string toolchain;
  std::string baseline;
  // By workload: a plain cold read of its least bytes, or its arithmetic, whichever takes longer.
  std::map<std::string, double> floor_seconds;
  double fastest_matrix = 0;  // FLOP/s that nothing on this device exceeds; 0: unknown
};

using Rates = std::map<std::string, double, std::less<>>;  // FLOP/s by name, of a target's table
// The rate of matrix products in the narrowest floating type that the suite's tensors have; 0 where
// the table does not say it.
double matrix_rate(const Suite& suite, const Rates& rates);
// The fastest rate of matrix products in any type; 0 where the table has none.
double fastest_matrix_rate(const Rates& rates);

// The contract's cost formulas for one workload, its derived scalars included; 0 when they fail.
struct WorkloadCost {
  double bytes = 0, flops = 0;
};
WorkloadCost workload_cost(const Op& op, const Suite& suite, const LaneWorkload& workload);

Nanoseconds median_time(const std::vector<float>& microseconds);
LaunchLimits launch_limits(const Json& facts);
// The first class that the suite's types permit.
const PrecisionClass* headline_precision(const Op& op, const Suite& suite);

Evidence make_evidence(const EvidenceContext& context,
                       const DeviceTask& task,
                       const LaneResult& result);

}  // namespace coppice::evaluators::cuda
