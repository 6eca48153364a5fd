// A libcuda without a device: memory is the host's, kernels do nothing, launches are counted.
#include "evaluators/cuda/driver_api.h"

#include <cstdlib>
#include <cstring>

using namespace coppice::evaluators::cuda;

namespace {

int handle = 0;  // what every opaque pointer points at
template <class T>
T some() {
  return reinterpret_cast<T>(&handle);
}

}  // namespace

extern "C" {
Status cuDeviceGetCount(int* out) {
  *out = 1;
  return 0;
}
Status cuDeviceGetAttribute(int* out, int which, int) {
  *out = which == static_cast<int>(DeviceAttribute::l2_bytes) ? 1 << 20 : 9;
  return 0;
}
Status cuDeviceGetName(char* out, int, int) {
  std::strcpy(out, "Fake");
  return 0;
}
Status cuDeviceGetPCIBusId(char* out, int, int) {
  std::strcpy(out, "0");
  return 0;
}
Status cuDeviceTotalMem_v2(std::size_t* out, int) {
  *out = 1 << 30;
  return 0;
}
Status cuDriverGetVersion(int* out) {
  *out = 13000;
  return 0;
}
Status cuDeviceGet(int* out, int ordinal) {
  *out = ordinal;
  return 0;
}
Status cuDevicePrimaryCtxRetain(Context* out, int) {
  *out = some<Context>();
  return 0;
}
Status cuStreamCreate(Stream* out, unsigned) {
  *out = some<Stream>();
  return 0;
}
Status cuMemAlloc_v2(DevicePtr* out, std::size_t bytes) {
  *out = reinterpret_cast<DevicePtr>(std::calloc(1, bytes));
  return *out == 0 ? kErrorOutOfMemory : 0;
}
Status cuMemFree_v2(DevicePtr at) {
  std::free(reinterpret_cast<void*>(at));
  return 0;
}
Status cuMemsetD8Async(DevicePtr at, unsigned char byte, std::size_t bytes, Stream) {
  std::memset(reinterpret_cast<void*>(at), byte, bytes);
  return 0;
}
Status cuMemcpyHtoDAsync_v2(DevicePtr to, const void* from, std::size_t bytes, Stream) {
  std::memcpy(reinterpret_cast<void*>(to), from, bytes);
  return 0;
}
Status cuMemcpyDtoHAsync_v2(void* to, DevicePtr from, std::size_t bytes, Stream) {
  std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
  return 0;
}
Status cuIpcOpenMemHandle_v2(DevicePtr* out, IpcHandle, unsigned) {
  return cuMemAlloc_v2(out, 64 << 20);
}
Status cuModuleLoadDataEx(Module* out, const void* image, unsigned, int*, void**) {
  *out = some<Module>();
  return std::memcmp(image, "no", 2) == 0 ? 200 : 0;
}
Status cuModuleGetFunction(Function* out, Module, const char* name) {
  *out = some<Function>();
  return std::strcmp(name, "absent") == 0 ? 500 : 0;
}
Status cuStreamEndCapture(Stream, Graph* out) {
  *out = some<Graph>();
  return 0;
}
Status cuGraphInstantiateWithFlags(GraphExec* out, Graph, unsigned long long) {
  *out = some<GraphExec>();
  return 0;
}
Status cuEventCreate(EventHandle* out, unsigned) {
  *out = some<EventHandle>();
  return 0;
}
// FAKE_CUDA_LAUNCH=700: that is what every launch comes to.
Status cuGraphLaunch(GraphExec, Stream) {
  const char* wanted = std::getenv("FAKE_CUDA_LAUNCH");
  return wanted == nullptr ? 0 : std::atoi(wanted);
}
Status cuLaunchKernelEx(const LaunchConfig*, Function, void**, void**) {
  return cuGraphLaunch(nullptr, nullptr);
}
Status cuGetErrorName(Status status, const char** out) {
  *out = status == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_FAKE";
  return 0;
}
Status cuGetErrorString(Status, const char** out) {
  *out = "as asked";
  return 0;
}
}
