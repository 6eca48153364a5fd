// From a resolved plan to driver calls: first as plain data that a test can read, then on a stream.
#pragma once

#include "core/plan.h"
#include "evaluators/cuda/driver_api.h"

#include <map>
#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

// Where the plan's names lie on the device.
struct Bindings {
  std::map<std::string, DevicePtr, std::less<>> tensors;
  std::map<std::string, std::uint64_t, std::less<>> tensor_bytes;
  std::map<std::string, DevicePtr, std::less<>> workspace;  // by slice
};

// Workspace slices one behind the other, `guard` bytes before, between and after them.
struct WorkspaceLayout {
  std::map<std::string, std::uint64_t, std::less<>> offsets;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> guards;  // offset, bytes
  std::uint64_t bytes = 0;
};
WorkspaceLayout workspace_layout(const ResolvedPlan& plan, std::uint64_t guard);

struct MapRequest {  // what cuTensorMapEncodeTiled takes
  int dtype = 0;
  std::vector<std::uint64_t> sizes, strides;
  std::vector<std::uint32_t> box;
  int swizzle = 0, promotion = 0;
  DevicePtr address = 0;
};

struct LaunchParameter {
  std::uint64_t bits = 0;  // pointer, int64 or float in the low bytes
  bool is_map = false;
  MapRequest map;
};

struct LaunchCall {
  bool fill = false;
  std::string entry;
  unsigned grid[3] = {1, 1, 1}, block[3] = {1, 1, 1}, cluster[3] = {0, 0, 0};
  unsigned shared_bytes = 0;
  bool cooperative = false, dependent = false;
  std::vector<LaunchParameter> parameters;
  DevicePtr target = 0;  // fill
  std::uint64_t bytes = 0;
  unsigned char byte = 0;
};

// Errors (config) name the step and what is wrong: unknown tensor, an extent out of range, a tensor
// map that the hardware can't take.
Result<std::vector<LaunchCall>> translate(const ResolvedPlan& plan, const Bindings& bindings);

// Limits that a device puts on a launch; from the device or from a target's table.
struct LaunchLimits {
  std::int64_t threads_per_block = 1024;
  std::int64_t shared_per_block = 232448;
  std::int64_t grid_x = 2147483647, grid_y = 65535, grid_z = 65535;
  std::int64_t cluster_blocks = 8;
  bool clusters = true, tensor_maps = true;
};
// Gate 3: nothing, or the first rule that the plan breaks, in words.
std::string broken_limit(const ResolvedPlan& plan, const LaunchLimits& limits);

// A plan bound to functions of a loaded module; enqueue() puts its steps on a stream.
class PlanLauncher {
 public:
  static Result<PlanLauncher> create(const DriverApi& api,
                                     Module module,
                                     std::vector<LaunchCall> calls);
  Status enqueue(const DriverApi& api, Stream stream) const;

 private:
  struct Ready {
    LaunchCall call;
    Function function = nullptr;
    std::vector<TensorMap> maps;
  };
  std::vector<Ready> steps_;
};

// The plan captured as one graph, instantiated and uploaded.
Result<GraphExec> capture(const DriverApi& api, const PlanLauncher& plan, Stream stream);

}  // namespace coppice::evaluators::cuda
