// One process's hold on a GPU: context, stream, memory; used only inside worker processes.
#pragma once

#include "core/json.h"
#include "evaluators/cuda/driver_api.h"

#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators::cuda {

// Facts of the device, as the driver tells them.
struct DeviceFacts {
  int devices = 1;  // of this machine
  std::string name, bus_id;
  int driver = 0;  // 13000 = CUDA 13.0
  int major = 0, minor = 0;
  std::int64_t multiprocessors = 0, l2_bytes = 0, memory_bytes = 0;
  std::int64_t shared_per_block = 0, shared_per_multiprocessor = 0, registers = 0;
  // Two transfers a clock over the whole bus: what no read can beat; 0 when the driver won't say.
  double memory_peak = 0;  // B/s
  std::int64_t pageable_access = 0, clusters = 0, tensor_maps = 0, cooperative = 0;
  std::string architecture() const;  // "sm_90a"
};
Json to_json(const DeviceFacts& facts);

// Not movable: one a process. All work goes on one stream that waits for no other.
class Device {
 public:
  static Result<Device> open(int ordinal);

  const DriverApi& api() const { return *api_; }
  Stream stream() const { return stream_; }
  Context context() const { return context_; }
  int ordinal() const { return ordinal_; }
  const DeviceFacts& facts() const { return facts_; }

  Result<DevicePtr> allocate(std::uint64_t bytes) const;
  Result<void> upload(DevicePtr to, std::string_view bytes) const;
  Result<std::string> download(DevicePtr from, std::uint64_t bytes) const;
  Result<void> fill(DevicePtr to, unsigned char byte, std::uint64_t bytes) const;
  Result<void> wait() const;
  Result<Module> load(const std::string& cubin) const;
  // A plain launch with pointer-size or smaller arguments, already laid out.
  Result<void> launch(Function function,
                      const unsigned grid[3],
                      unsigned block,
                      const std::vector<std::uint64_t>& arguments) const;

 private:
  const DriverApi* api_ = nullptr;
  Context context_ = nullptr;
  Stream stream_ = nullptr;
  int ordinal_ = 0;
  DeviceFacts facts_;
};

}  // namespace coppice::evaluators::cuda
