// Thin over the driver; every failure says what was being done.
#include "evaluators/cuda/device.h"

#include <cstdlib>

namespace coppice::evaluators::cuda {
namespace {

constexpr int kLimitPrintfFifo = 1, kLimitMallocHeap = 2, kLimitPersistingL2 = 6;
constexpr unsigned kScheduleSpin = 1;
constexpr unsigned kStreamNonBlocking = 1;

std::int64_t attribute(const DriverApi& api, int device, DeviceAttribute which) {
  int value = 0;
  return api.device_attribute(&value, static_cast<int>(which), device) == 0 ? value : 0;
}

DeviceFacts read_facts(const DriverApi& api, int device) {
  DeviceFacts out;
  char text[256] = {};
  if (api.device_name(text, sizeof text, device) == 0) {
    out.name = text;
  }
  if (api.device_bus_id(text, sizeof text, device) == 0) {
    out.bus_id = text;
  }
  api.driver_version(&out.driver);
  std::size_t bytes = 0;
  api.device_memory(&bytes, device);
  out.memory_bytes = static_cast<std::int64_t>(bytes);
  out.major = static_cast<int>(attribute(api, device, DeviceAttribute::major));
  out.minor = static_cast<int>(attribute(api, device, DeviceAttribute::minor));
  out.multiprocessors = attribute(api, device, DeviceAttribute::multiprocessors);
  out.l2_bytes = attribute(api, device, DeviceAttribute::l2_bytes);
  out.shared_per_block = attribute(api, device, DeviceAttribute::shared_per_block_optin);
  out.shared_per_multiprocessor =
      attribute(api, device, DeviceAttribute::shared_per_multiprocessor);
  out.registers = attribute(api, device, DeviceAttribute::registers_per_multiprocessor);
  out.memory_peak = 2e3 / 8.0 *
                    static_cast<double>(attribute(api, device, DeviceAttribute::memory_clock_khz)) *
                    static_cast<double>(attribute(api, device, DeviceAttribute::memory_bus_bits));
  out.pageable_access = attribute(api, device, DeviceAttribute::pageable_memory_access);
  out.clusters = attribute(api, device, DeviceAttribute::cluster_launch);
  out.tensor_maps = attribute(api, device, DeviceAttribute::tensor_maps);
  out.cooperative = attribute(api, device, DeviceAttribute::cooperative_launch);
  return out;
}

}  // namespace

std::string DeviceFacts::architecture() const {
  const std::string base = "sm_" + std::to_string(major * 10 + minor);
  // The suffix opens the instructions that only this very architecture has (wgmma, tcgen05).
  return major == 9 || major == 10 ? base + "a" : base;
}

Json to_json(const DeviceFacts& facts) {
  Json out = Json::object();
  out.set("name", facts.name)
      .set("bus_id", facts.bus_id)
      .set("driver_cuda", facts.driver)
      .set("devices", facts.devices)
      .set("architecture", facts.architecture())
      .set("multiprocessors", facts.multiprocessors)
      .set("l2_bytes", facts.l2_bytes)
      .set("memory_bytes", facts.memory_bytes)
      .set("shared_per_block", facts.shared_per_block)
      .set("shared_per_multiprocessor", facts.shared_per_multiprocessor)
      .set("registers_per_multiprocessor", facts.registers)
      .set("memory_peak", facts.memory_peak)
      .set("pageable_memory_access", facts.pageable_access)
      .set("clusters", facts.clusters)
      .set("tensor_maps", facts.tensor_maps);
  return out;
}

Result<Device> Device::open(int ordinal) {
  setenv("CUDA_MODULE_LOADING", "EAGER", 1);  // a lazy load in a timed launch would be counted
  setenv("CUDA_CACHE_DISABLE", "1", 1);
  Device out;
  COPPICE_TRY(out.api_, load_driver());
  const DriverApi& api = *out.api_;
  COPPICE_TRY_VOID(check(api, api.init(0), "cuInit"));
  int count = 0;
  COPPICE_TRY_VOID(check(api, api.device_count(&count), "count devices"));
  if (ordinal < 0 || ordinal >= count) {
    return Error{ErrorCode::environment,
                 "no CUDA device " + std::to_string(ordinal) + ", found " + std::to_string(count)};
  }
  int device = 0;
  Context context = nullptr;
  COPPICE_TRY_VOID(check(api, api.device_get(&device, ordinal), "open device"));
  api.primary_set_flags(device, kScheduleSpin);
  COPPICE_TRY_VOID(check(api, api.primary_retain(&context, device), "make a context"));
  COPPICE_TRY_VOID(check(api, api.set_current(context), "use the context"));
  out.context_ = context;
  out.ordinal_ = ordinal;
  api.set_limit(kLimitMallocHeap, 0);
  api.set_limit(kLimitPrintfFifo, 0);
  api.set_limit(kLimitPersistingL2, 0);
  COPPICE_TRY_VOID(
      check(api, api.stream_create(&out.stream_, kStreamNonBlocking), "make a stream"));
  out.facts_ = read_facts(api, device);
  out.facts_.devices = count;
  return out;
}

Result<DevicePtr> Device::allocate(std::uint64_t bytes) const {
  DevicePtr out = 0;
  const Status status = api_->allocate(&out, std::max<std::uint64_t>(bytes, 256));
  COPPICE_TRY_VOID(check(*api_, status, "allocate " + std::to_string(bytes) + " bytes"));
  return out;
}

Result<void> Device::upload(DevicePtr to, std::string_view bytes) const {
  if (bytes.empty()) {
    return {};
  }
  COPPICE_TRY_VOID(check(*api_, api_->copy_in(to, bytes.data(), bytes.size(), stream_), "upload"));
  return wait();
}

Result<std::string> Device::download(DevicePtr from, std::uint64_t bytes) const {
  std::string out(bytes, '\0');
  if (bytes == 0) {
    return out;
  }
  COPPICE_TRY_VOID(check(*api_, api_->copy_out(out.data(), from, bytes, stream_), "download"));
  COPPICE_TRY_VOID(wait());
  return out;
}

Result<void> Device::fill(DevicePtr to, unsigned char byte, std::uint64_t bytes) const {
  if (bytes == 0) {
    return {};
  }
  return check(*api_, api_->set_bytes(to, byte, bytes, stream_), "fill");
}

Result<void> Device::wait() const {
  return check(*api_, api_->stream_synchronize(stream_), "wait for the device");
}

Result<Module> Device::load(const std::string& cubin) const {
  Module out = nullptr;
  COPPICE_TRY_VOID(
      check(*api_, api_->module_load(&out, cubin.data(), 0, nullptr, nullptr), "load the cubin"));
  return out;
}

Result<void> Device::launch(Function function,
                            const unsigned grid[3],
                            unsigned block,
                            const std::vector<std::uint64_t>& arguments) const {
  std::vector<void*> pointers;
  for (const std::uint64_t& argument : arguments) {
    pointers.push_back(const_cast<std::uint64_t*>(&argument));
  }
  const LaunchConfig config{{grid[0], grid[1], grid[2]}, {block, 1, 1}, 0, stream_, nullptr, 0};
  return check(*api_, api_->launch(&config, function, pointers.data(), nullptr), "launch");
}

}  // namespace coppice::evaluators::cuda
