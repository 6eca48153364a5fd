// Finds libcuda at run time and explains what to do when it is not there.
#include "evaluators/cuda/driver_api.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <memory>

namespace coppice::evaluators::cuda {
namespace {

constexpr const char* kDriverHint =
    "install the NVIDIA driver (package nvidia-driver, or run the container with "
    "--gpus all); set COPPICE_LIBCUDA to the file if it lies elsewhere";

void* open_library(std::string& tried) {
  const char* named = std::getenv("COPPICE_LIBCUDA");
  const char* candidates[] = {named,
                              "libcuda.so.1",
                              "libcuda.so",
                              "/usr/local/nvidia/lib64/libcuda.so.1",
                              "/usr/lib/wsl/lib/libcuda.so.1"};
  for (const char* name : candidates) {
    if (name == nullptr || *name == '\0') {
      continue;
    }
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL); library != nullptr) {
      return library;
    }
    tried += tried.empty() ? name : std::string(", ") + name;
    if (name == named) {
      return nullptr;  // a named file that does not open is a mistake to be told, not passed over
    }
  }
  return nullptr;
}

Result<std::unique_ptr<DriverApi>> resolve_all(void* library) {
  auto api = std::make_unique<DriverApi>();
  std::string missing;
#define COPPICE_RESOLVE(member, symbol, parameters)                              \
  api->member = reinterpret_cast<decltype(api->member)>(dlsym(library, symbol)); \
  if (api->member == nullptr) {                                                  \
    missing += missing.empty() ? symbol : ", " symbol;                           \
  }
  COPPICE_CUDA_DRIVER_FUNCTIONS(COPPICE_RESOLVE)
#undef COPPICE_RESOLVE
  api->tensor_map_tiled =
      reinterpret_cast<decltype(api->tensor_map_tiled)>(dlsym(library, "cuTensorMapEncodeTiled"));
  if (!missing.empty()) {
    return Error{ErrorCode::environment,
                 "libcuda.so.1: no " + missing + "; a driver for CUDA 12 or newer is needed"};
  }
  return api;
}

}  // namespace

std::string DriverApi::describe(Status status) const {
  const char* name = nullptr;
  const char* text = nullptr;
  if (error_name != nullptr) {
    error_name(status, &name);
  }
  if (error_string != nullptr) {
    error_string(status, &text);
  }
  return (name != nullptr ? std::string(name) : "CUDA error " + std::to_string(status)) +
         (text != nullptr ? " (" + std::string(text) + ")" : "");
}

// Resolved once, the table is immutable afterwards; a failure is not kept, the next call looks
// again.
Result<const DriverApi*> load_driver() {
  static std::atomic<const DriverApi*> kept{nullptr};
  if (const DriverApi* known = kept.load()) {
    return known;
  }
  std::string tried;
  void* library = open_library(tried);
  if (library == nullptr) {
    return Error{ErrorCode::environment,
                 "no CUDA driver: none of " + tried + " can be opened; " + kDriverHint};
  }
  COPPICE_TRY(std::unique_ptr<DriverApi> api, resolve_all(library));
  const DriverApi* first = nullptr;
  if (kept.compare_exchange_strong(first, api.get())) {
    return api.release();  // for the rest of the process
  }
  return first;
}

bool is_sticky(Status status) {
  switch (status) {
    case 214:  // uncorrectable ECC
    case 220:  // uncorrectable NVLink
    case 700:  // illegal address
    case 702:  // launch timeout
    case 710:  // assert
    case 714:  // hardware stack error
    case 715:  // illegal instruction
    case 716:  // misaligned address
    case 717:  // invalid address space
    case 718:  // invalid program counter
    case 719:  // launch failed (trap)
    case 721:  // tensor memory leak
    case 999:  // unknown
      return true;
    default:
      return false;
  }
}

Result<void> check(const DriverApi& api, Status status, const std::string& doing) {
  if (status == 0) {
    return {};
  }
  return Error{ErrorCode::environment, doing + ": " + api.describe(status)};
}

}  // namespace coppice::evaluators::cuda
