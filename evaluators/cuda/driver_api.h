// The CUDA driver API as it is used here: own minimal declarations, resolved by dlopen, so that one
// binary is built without CUDA headers and runs with and without a GPU (drivers of CUDA 12 and 13).
#pragma once

#include "core/result.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace coppice::evaluators::cuda {

using DevicePtr = std::uint64_t;
using Status = int;  // 0 = success
using Context = struct ContextOpaque*;
using Module = struct ModuleOpaque*;
using Function = struct FunctionOpaque*;
using Stream = struct StreamOpaque*;
using EventHandle = struct EventOpaque*;
using Graph = struct GraphOpaque*;
using GraphExec = struct GraphExecOpaque*;

struct IpcHandle {
  unsigned char bytes[64];
};

// CUlaunchAttribute: id, padding to 8, a 64-byte union of which the first words are used.
struct LaunchAttribute {
  int id = 0;
  int padding = 0;
  std::uint32_t value[16] = {};
};
static_assert(sizeof(LaunchAttribute) == 72);
inline constexpr int kAttributeCooperative = 2;
inline constexpr int kAttributeClusterDimension = 4;
inline constexpr int kAttributeProgrammaticSerialization = 6;

struct LaunchConfig {
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes = 0;
  Stream stream = nullptr;
  LaunchAttribute* attributes = nullptr;
  unsigned attribute_count = 0;
};

// CUtensorMap: opaque, 128 bytes, 64-byte aligned.
struct alignas(64) TensorMap {
  std::uint64_t words[16] = {};
};

inline constexpr int kErrorOutOfMemory = 2;

enum class DeviceAttribute : int {
  max_threads_per_block = 1,
  max_grid_x = 5,
  max_grid_y = 6,
  max_grid_z = 7,
  registers_per_block = 12,
  multiprocessors = 16,
  memory_clock_khz = 36,
  memory_bus_bits = 37,
  l2_bytes = 38,
  major = 75,
  minor = 76,
  shared_per_multiprocessor = 81,
  registers_per_multiprocessor = 82,
  pageable_memory_access = 88,
  cooperative_launch = 95,
  shared_per_block_optin = 97,
  posix_handles = 103,
  max_persisting_l2 = 108,
  cluster_launch = 120,
  tensor_maps = 127,
};

enum class FunctionAttribute : int {
  shared_bytes = 1,
  local_bytes = 3,
  registers = 4,
  max_dynamic_shared = 8,
  non_portable_cluster = 14,
};

// X(member, exported symbol, parameters)
#define COPPICE_CUDA_DRIVER_FUNCTIONS(X)                                                          \
  X(init, "cuInit", (unsigned))                                                                   \
  X(driver_version, "cuDriverGetVersion", (int*))                                                 \
  X(device_count, "cuDeviceGetCount", (int*))                                                     \
  X(device_get, "cuDeviceGet", (int*, int))                                                       \
  X(device_name, "cuDeviceGetName", (char*, int, int))                                            \
  X(device_bus_id, "cuDeviceGetPCIBusId", (char*, int, int))                                      \
  X(device_attribute, "cuDeviceGetAttribute", (int*, int, int))                                   \
  X(device_memory, "cuDeviceTotalMem_v2", (std::size_t*, int))                                    \
  X(primary_retain, "cuDevicePrimaryCtxRetain", (Context*, int))                                  \
  X(primary_set_flags, "cuDevicePrimaryCtxSetFlags_v2", (int, unsigned))                          \
  X(set_current, "cuCtxSetCurrent", (Context))                                                    \
  X(synchronize, "cuCtxSynchronize", ())                                                          \
  X(set_limit, "cuCtxSetLimit", (int, std::size_t))                                               \
  X(reset_persisting_l2, "cuCtxResetPersistingL2Cache", ())                                       \
  X(memory_info, "cuMemGetInfo_v2", (std::size_t*, std::size_t*))                                 \
  X(allocate, "cuMemAlloc_v2", (DevicePtr*, std::size_t))                                         \
  X(release, "cuMemFree_v2", (DevicePtr))                                                         \
  X(host_allocate, "cuMemHostAlloc", (void**, std::size_t, unsigned))                             \
  X(host_release, "cuMemFreeHost", (void*))                                                       \
  X(copy_in, "cuMemcpyHtoDAsync_v2", (DevicePtr, const void*, std::size_t, Stream))               \
  X(copy_out, "cuMemcpyDtoHAsync_v2", (void*, DevicePtr, std::size_t, Stream))                    \
  X(copy, "cuMemcpyDtoDAsync_v2", (DevicePtr, DevicePtr, std::size_t, Stream))                    \
  X(set_bytes, "cuMemsetD8Async", (DevicePtr, unsigned char, std::size_t, Stream))                \
  X(set_words, "cuMemsetD32Async", (DevicePtr, unsigned, std::size_t, Stream))                    \
  X(ipc_handle, "cuIpcGetMemHandle", (IpcHandle*, DevicePtr))                                     \
  X(ipc_open, "cuIpcOpenMemHandle_v2", (DevicePtr*, IpcHandle, unsigned))                         \
  X(ipc_close, "cuIpcCloseMemHandle", (DevicePtr))                                                \
  X(module_load, "cuModuleLoadDataEx", (Module*, const void*, unsigned, int*, void**))            \
  X(module_unload, "cuModuleUnload", (Module))                                                    \
  X(module_function, "cuModuleGetFunction", (Function*, Module, const char*))                     \
  X(function_attribute, "cuFuncGetAttribute", (int*, int, Function))                              \
  X(set_function_attribute, "cuFuncSetAttribute", (Function, int, int))                           \
  X(occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor", (int*, Function, int, std::size_t)) \
  X(stream_create, "cuStreamCreate", (Stream*, unsigned))                                         \
  X(stream_synchronize, "cuStreamSynchronize", (Stream))                                          \
  X(begin_capture, "cuStreamBeginCapture_v2", (Stream, int))                                      \
  X(end_capture, "cuStreamEndCapture", (Stream, Graph*))                                          \
  X(event_create, "cuEventCreate", (EventHandle*, unsigned))                                      \
  X(event_record, "cuEventRecord", (EventHandle, Stream))                                         \
  X(event_elapsed, "cuEventElapsedTime", (float*, EventHandle, EventHandle))                      \
  X(event_destroy, "cuEventDestroy_v2", (EventHandle))                                            \
  X(launch, "cuLaunchKernelEx", (const LaunchConfig*, Function, void**, void**))                  \
  X(graph_instantiate, "cuGraphInstantiateWithFlags", (GraphExec*, Graph, unsigned long long))    \
  X(graph_upload, "cuGraphUpload", (GraphExec, Stream))                                           \
  X(graph_launch, "cuGraphLaunch", (GraphExec, Stream))                                           \
  X(graph_exec_destroy, "cuGraphExecDestroy", (GraphExec))                                        \
  X(graph_destroy, "cuGraphDestroy", (Graph))                                                     \
  X(error_name, "cuGetErrorName", (Status, const char**))                                         \
  X(error_string, "cuGetErrorString", (Status, const char**))

// A table of entry points; a test may fill one with functions of its own.
struct DriverApi {
#define COPPICE_MEMBER(member, symbol, parameters) Status(*member) parameters = nullptr;
  COPPICE_CUDA_DRIVER_FUNCTIONS(COPPICE_MEMBER)
#undef COPPICE_MEMBER
  // Absent before CUDA 12: plans with tensor maps are then refused.
  Status (*tensor_map_tiled)(TensorMap*,
                             int,
                             std::uint32_t,
                             DevicePtr,
                             const std::uint64_t*,
                             const std::uint64_t*,
                             const std::uint32_t*,
                             const std::uint32_t*,
                             int,
                             int,
                             int,
                             int) = nullptr;

  // "CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered)"
  std::string describe(Status status) const;
};

// The driver of this machine (COPPICE_LIBCUDA names another file). The table lives as long as the
// process. An `environment` error says what is missing and how to get it. Loading makes no context.
Result<const DriverApi*> load_driver();

// Errors of these kinds poison the process: every later call fails, and it must end.
bool is_sticky(Status status);

// "do: CUDA_ERROR_..." as an environment error, or nothing when the call succeeded.
Result<void> check(const DriverApi& api, Status status, const std::string& doing);

}  // namespace coppice::evaluators::cuda
