// Finds NVRTC at run time, with the library of built-ins that it loads itself later.
#include "evaluators/cuda/nvrtc_api.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdlib>
#include <memory>
#include <vector>

namespace coppice::evaluators::cuda {
namespace {

constexpr const char* kNvrtcHint =
    "install it (package cuda-nvrtc-13-0 or cuda-nvrtc-12-x from NVIDIA, or pip install "
    "nvidia-cuda-nvrtc), or set COPPICE_NVRTC to the file libnvrtc.so.13";

std::vector<std::string> places() {
  if (const char* named = std::getenv("COPPICE_NVRTC"); named != nullptr && *named != '\0') {
    return {named};
  }
  std::vector<std::string> folders = {""};
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const char* home = std::getenv(variable); home != nullptr && *home != '\0') {
      folders.push_back(std::string(home) + "/lib64/");
    }
  }
  folders.push_back("/usr/local/cuda/lib64/");
  folders.push_back("/usr/lib/x86_64-linux-gnu/");
  std::vector<std::string> out;
  for (const std::string& folder : folders) {
    for (const char* file : {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"}) {
      out.push_back(folder + file);
    }
  }
  return out;
}

template <class F>
bool take(void* library, const char* symbol, F& function, std::string& missing) {
  function = reinterpret_cast<F>(dlsym(library, symbol));
  if (function == nullptr) {
    missing += missing.empty() ? symbol : std::string(", ") + symbol;
  }
  return function != nullptr;
}

// The built-ins are opened now: the compile jail lets no file be opened afterwards.
void preload_builtins(const NvrtcApi& api) {
  const std::size_t slash = api.path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : api.path.substr(0, slash + 1);
  const std::string version = std::to_string(api.major) + "." + std::to_string(api.minor);
  for (const std::string& name : {folder + "libnvrtc-builtins.so." + version,
                                  "libnvrtc-builtins.so." + version,
                                  folder + "libnvrtc-builtins.so"}) {
    if (dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) {
      return;
    }
  }
}

Result<std::shared_ptr<const NvrtcApi>> open_nvrtc() {
  void* library = nullptr;
  std::string tried;
  for (const std::string& place : places()) {
    library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) {
      break;
    }
    tried += tried.empty() ? place : ", " + place;
  }
  if (library == nullptr) {
    return Error{
        ErrorCode::environment,
        "no NVRTC (CUDA's run-time compiler): none of " + tried + " can be opened; " + kNvrtcHint};
  }
  auto api = std::make_shared<NvrtcApi>();
  std::string missing;
  take(library, "nvrtcVersion", api->version, missing);
  take(library, "nvrtcCreateProgram", api->create, missing);
  take(library, "nvrtcCompileProgram", api->compile, missing);
  take(library, "nvrtcGetProgramLogSize", api->log_size, missing);
  take(library, "nvrtcGetProgramLog", api->log, missing);
  take(library, "nvrtcGetCUBINSize", api->cubin_size, missing);
  take(library, "nvrtcGetCUBIN", api->cubin, missing);
  take(library, "nvrtcGetPTXSize", api->ptx_size, missing);
  take(library, "nvrtcGetPTX", api->ptx, missing);
  take(library, "nvrtcDestroyProgram", api->destroy, missing);
  take(library, "nvrtcGetErrorString", api->error_string, missing);
  if (!missing.empty()) {
    return Error{ErrorCode::environment, "libnvrtc: no " + missing + "; " + kNvrtcHint};
  }
  api->version(&api->major, &api->minor);
  link_map* map = nullptr;
  if (dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr) {
    api->path = map->l_name;
  }
  preload_builtins(*api);
  return std::shared_ptr<const NvrtcApi>(std::move(api));
}

}  // namespace

Result<const NvrtcApi*> load_nvrtc() {
  static const Result<std::shared_ptr<const NvrtcApi>> loaded = open_nvrtc();
  if (!loaded.ok()) {
    return loaded.error();
  }
  return loaded.value().get();
}

}  // namespace coppice::evaluators::cuda
