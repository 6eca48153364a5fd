// The functions of the host that candidate code may call: pure ones only.

#include "evaluators/cpu/elf_image.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>

namespace coppice::evaluators::cpu {
namespace {

constexpr std::array kMemory = {"memcpy", "memmove", "memset", "memcmp"};
// Double-precision names; "f" appended gives the float ones.
constexpr std::array kMath = {
    "acos",      "acosh",    "asin",      "asinh",  "atan",   "atan2",     "atanh",   "cbrt",
    "ceil",      "copysign", "cos",       "cosh",   "erf",    "erfc",      "exp",     "exp2",
    "exp10",     "expm1",    "fabs",      "fdim",   "floor",  "fma",       "fmax",    "fmin",
    "fmod",      "frexp",    "hypot",     "ldexp",  "lgamma", "log",       "log10",   "log1p",
    "log2",      "logb",     "lrint",     "lround", "llrint", "llround",   "modf",    "nearbyint",
    "nextafter", "pow",      "remainder", "rint",   "round",  "roundeven", "scalbln", "scalbn",
    "sin",       "sincos",   "sinh",      "sqrt",   "tan",    "tanh",      "tgamma",  "trunc"};

bool is_math(std::string_view name) {
  const auto same = [&](const char* base) {
    const std::string_view b(base);
    return name == b ||
           (name.size() == b.size() + 1 && name.back() == 'f' && name.substr(0, b.size()) == b);
  };
  return std::any_of(kMath.begin(), kMath.end(), same);
}

// libmvec: "_ZGV" isa lanes parameters "_" base name.
bool is_vector_math(std::string_view name) {
  if (name.substr(0, 4) != "_ZGV") {
    return false;
  }
  const std::size_t underscore = name.find('_', 4);
  return underscore != std::string_view::npos && is_math(name.substr(underscore + 1));
}

}  // namespace

bool allowed_import(std::string_view name) {
  return std::find(kMemory.begin(), kMemory.end(), name) != kMemory.end() || is_math(name) ||
         is_vector_math(name);
}

const void* import_address(const std::string& name) {
  if (!allowed_import(name)) {
    return nullptr;
  }
  static void* const kMathLibrary = ::dlopen("libm.so.6", RTLD_NOW | RTLD_GLOBAL);
  static void* const kVectorLibrary = ::dlopen("libmvec.so.1", RTLD_NOW | RTLD_GLOBAL);
  void* found = ::dlsym(RTLD_DEFAULT, name.c_str());
  for (void* library : {kMathLibrary, kVectorLibrary}) {
    if (found == nullptr && library != nullptr) {
      found = ::dlsym(library, name.c_str());
    }
  }
  return found;
}

}  // namespace coppice::evaluators::cpu
