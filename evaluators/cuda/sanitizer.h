// compute-sanitizer over a few launches: found at run time, bounded in time, its report read.
#pragma once

#include "core/memory_check.h"
#include "core/units.h"
#include "evaluators/cuda/launch_once.h"

#include <string>

namespace coppice::evaluators::cuda {

// What a report says. `finding` names the kernel and where in it; empty when there is none.
struct SanitizerReport {
  bool complete = false;  // it says how many errors there were
  std::string finding;
  std::string trouble;  // why the tool could not look, in its own words
};
SanitizerReport read_sanitizer_report(const std::string& text);

struct Sanitizer {
  std::string path, version;  // "2025.3.1"
};
// COPPICE_SANITIZER (a path, or "off"), PATH, and where the toolkit puts it. An `environment` error
// in one line when there is none.
Result<Sanitizer> find_sanitizer();

struct SanitizerOptions {
  std::string program;                           // that knows "launch-once"; empty: this one
  Nanoseconds limit = std::chrono::seconds(60);  // for each tool
};
// Memory accesses, then races in shared memory: what the first finds refuses a candidate, what the
// second finds is noted. Never an error: what could not be done is said in the result.
MemoryCheck sanitize(const LaunchJob& job, const SanitizerOptions& options);

}  // namespace coppice::evaluators::cuda
