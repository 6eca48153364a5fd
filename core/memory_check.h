// MemoryCheck: what a tool that watches every access of a kernel said about a promoted candidate.
#pragma once

#include "core/json.h"

#include <string>

namespace coppice {

struct MemoryCheck {
  std::string tool;         // "compute-sanitizer 2025.3.1"; empty when it could not be had
  std::string ran;          // "memcheck, racecheck": those that came to an end
  std::string workloads;    // that it was launched on, once each: "odd_b3, r5_h136"
  std::string finding;      // workload, kernel, place in one line; empty: nothing
  std::string noted;        // found by a tool whose findings refuse nobody
  std::string unavailable;  // why it did not run, or not to its end
  double seconds = 0.0;
  friend bool operator==(const MemoryCheck&, const MemoryCheck&) = default;
};

Json to_json(const MemoryCheck& check);
Result<MemoryCheck> memory_check(const JsonReader& json);

// "compute-sanitizer 2025.3.1 (memcheck, racecheck) found nothing on odd_b3"
std::string text_of(const MemoryCheck& check);

}  // namespace coppice
