// Toolchain: candidate source to machine code, in a bounded process; host compiler, NVRTC, later
// HIPRTC.
#pragma once

#include "core/digest.h"
#include "core/evidence.h"
#include "core/result.h"
#include "core/units.h"

#include <map>
#include <stop_token>
#include <string>
#include <vector>

namespace coppice::evaluators {

struct CompileJob {
  std::string source_name;         // "kernel.cpp"; how diagnostics call it
  std::string source;              // complete: axis and plan defines in front
  std::vector<std::string> flags;  // beyond the toolchain's own
  std::map<std::string, std::string, std::less<>>
      headers;  // name to text: all that may be included
};

struct Compiled {
  FailureClass failure =
      FailureClass::none;  // compile_error, compile_timeout, memory_limit, output_flood
  std::string message;     // first error, located: "kernel.cpp:12:5: ..."
  std::string log;         // whole, capped at 64 KB, valid UTF-8
  std::string binary;      // .so or cubin bytes
  Nanoseconds elapsed{};
  bool cached = false;
};

// Thread-safe. The cache key is the digest of source, flags, headers and version().
class Toolchain {
 public:
  virtual ~Toolchain() = default;
  virtual std::string version()
      const = 0;  // "g++ 12.2.0 -O3 -march=znver3 ...": part of the cache key
  // An Error means that there is no working compiler; a bad candidate is a Compiled with a failure.
  virtual Result<Compiled> compile(const CompileJob& job, std::stop_token stop) = 0;
};

}  // namespace coppice::evaluators
