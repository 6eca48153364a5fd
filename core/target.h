// Target: an architecture's facts and hard rules (configs/targets/*.json).
#pragma once

#include "core/expr.h"
#include "core/json.h"
#include "core/value.h"

#include <string>
#include <vector>

namespace coppice {

// A rule that refuses a candidate before it is built: over axes, dims and target.* facts.
struct HardRule {
  std::string name;  // "threads_per_block"
  std::string
      applies;  // "step": once per kernel step, with grid.*, block.*, shared_bytes...; "genome"
  Expr holds;
};

struct Target {
  std::string name;     // "x86_64", "sm_90"
  std::string backend;  // "cpu", "cuda"
  ValueMap facts;       // "shared_bytes_per_block", "lanes", ...; seen as target.<fact>
  std::vector<std::string> features;  // "avx2", "sm_90a"
  std::vector<HardRule> rules;
  // Vendor peaks (for "impossible") by ceiling name, FLOP/s and B/s; 0 = unknown.
  std::map<std::string, double, std::less<>> peaks;
  // What can be reached in practice (for floors), by the same names.
  std::map<std::string, double, std::less<>> ceilings;
};

Json to_json(const Target& target);
Result<Target> target(const JsonReader& json);

}  // namespace coppice
