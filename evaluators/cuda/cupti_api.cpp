// Finds libcupti at run time and says in one line why counters can't be had.
#include "evaluators/cuda/cupti_api.h"

#include "evaluators/cuda/nvrtc_api.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string_view>
#include <vector>

namespace coppice::evaluators::cuda {
namespace {

constexpr const char* kCuptiHint =
    "pip install nvidia-cuda-cupti, or NVIDIA's package cuda-cupti-13-0; or set COPPICE_CUPTI to "
    "the file libcupti.so.13";
constexpr const char* kCuptiFiles[] = {"libcupti.so.13", "libcupti.so.12", "libcupti.so"};

void add_folder(std::vector<std::string>& places, const std::string& folder) {
  for (const char* file : kCuptiFiles) {
    places.push_back(folder + file);
  }
}

// Beside the toolkit's other libraries, and where its packages put CUPTI apart.
std::vector<std::string> cupti_places() {
  std::vector<std::string> out;
  add_folder(out, "");
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const char* home = std::getenv(variable); home != nullptr && *home != '\0') {
      add_folder(out, std::string(home) + "/lib64/");
      add_folder(out, std::string(home) + "/extras/CUPTI/lib64/");
    }
  }
  add_folder(out, "/usr/local/cuda/lib64/");
  add_folder(out, "/usr/local/cuda/extras/CUPTI/lib64/");
  add_folder(out, "/usr/lib/x86_64-linux-gnu/");
  if (const Result<const NvrtcApi*> nvrtc = load_nvrtc(); nvrtc.ok()) {
    const std::size_t slash = (*nvrtc)->path.rfind('/');
    if (slash != std::string::npos) {
      add_folder(out, (*nvrtc)->path.substr(0, slash + 1));
      add_folder(out, (*nvrtc)->path.substr(0, slash) + "/../../cuda_cupti/lib/");
    }
  }
  return out;
}

Result<std::shared_ptr<const CuptiApi>> resolve_cupti(void* library, const std::string& path) {
  auto api = std::make_shared<CuptiApi>();
  std::string missing;
#define COPPICE_RESOLVE(member, symbol, record)                                  \
  api->member = reinterpret_cast<decltype(api->member)>(dlsym(library, symbol)); \
  if (api->member == nullptr && missing.empty()) {                               \
    missing = symbol;                                                            \
  }
  COPPICE_CUPTI_FUNCTIONS(COPPICE_RESOLVE)
#undef COPPICE_RESOLVE
  api->version = reinterpret_cast<decltype(api->version)>(dlsym(library, "cuptiGetVersion"));
  api->result_string =
      reinterpret_cast<decltype(api->result_string)>(dlsym(library, "cuptiGetResultString"));
  api->path = path;
  if (!missing.empty()) {
    return Error{ErrorCode::environment,
                 path + ": has no " + missing +
                     "; hardware counters need CUPTI of CUDA 12.6 or "
                     "newer"};
  }
  return std::shared_ptr<const CuptiApi>(std::move(api));
}

std::string remedy_of(int status) {
  switch (status) {
    case 35:
    case 40:
      return " (the driver gives counters to administrators only: run as root, or load the module "
             "nvidia with NVreg_RestrictProfilingToAdminUsers=0)";
    case 26:
      return " (another profiler holds the counters)";
    case 27:
    case 33:
    case 41:
    case 43:
      return " (this kind of device, virtual machine or container gives no counters)";
    default:
      return "";
  }
}

}  // namespace

std::string CuptiApi::name() const {
  std::uint32_t number = 0;
  if (version == nullptr || version(&number) != 0) {
    return "CUPTI range profiler";
  }
  if (number < 100000) {  // before CUDA 13 the numbers only counted releases
    return "CUPTI (API " + std::to_string(number) + ") range profiler";
  }
  return "CUPTI " + std::to_string(number / 10000) + "." + std::to_string(number / 100 % 100) +
         " range profiler";
}

Result<void> CuptiApi::check(int status, const std::string& doing) const {
  if (status == 0) {
    return {};
  }
  const char* text = nullptr;
  if (result_string != nullptr) {
    result_string(status, &text);
  }
  return Error{ErrorCode::environment,
               doing + ": " +
                   (text != nullptr ? std::string(text) : "CUPTI error " + std::to_string(status)) +
                   remedy_of(status)};
}

Result<std::shared_ptr<const CuptiApi>> load_cupti() {
  const char* named = std::getenv("COPPICE_CUPTI");
  const std::string_view wanted = named == nullptr ? "" : named;
  if (wanted == "off") {
    return Error{ErrorCode::environment, "switched off (COPPICE_CUPTI=off)"};
  }
  std::vector<std::string> places;
  if (!wanted.empty()) {
    places = {std::string(wanted)};
  } else {
    places = cupti_places();
  }
  std::string why;
  for (const std::string& place : places) {
    void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      continue;
    }
    Result<std::shared_ptr<const CuptiApi>> api = resolve_cupti(library, place);
    if (api.ok()) {
      return api;
    }
    why = why.empty() ? api.error().message : why;
  }
  if (why.empty()) {
    why = wanted.empty() ? std::string("no libcupti.so.13 or .12; ") + kCuptiHint
                         : std::string(wanted) + ": cannot be opened";
  }
  return Error{ErrorCode::environment, why};
}

}  // namespace coppice::evaluators::cuda
