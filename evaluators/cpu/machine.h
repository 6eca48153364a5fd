// What this machine can do: cores, caches, memory, and measured ceilings for reading and for
// arithmetic.
#pragma once

#include "core/json.h"
#include "core/result.h"

#include <cstdint>
#include <string>

namespace coppice::evaluators::cpu {

struct Machine {
  std::string name;  // processor
  int cores = 1;     // that this process may use
  std::uint64_t l1_bytes = 0, l2_bytes = 0, l3_bytes = 0;
  std::uint64_t memory_bytes = 0, available_bytes = 0;
};
Machine look_at_machine();

// Best of several short runs, all cores together unless said; 0 where the machine can't do it.
struct Ceilings {
  double read_one = 0.0, read_all = 0.0;  // B/s from memory
  double f32_fma = 0.0, f64_fma = 0.0;    // FLOP/s (two per fused multiply-add)
  double launch_floor = 0.0;              // seconds of an empty launch; filled in by the backend
};

// About a second of measuring.
Ceilings measure_ceilings(const Machine& machine);

Json to_json(const Machine& machine);
Json to_json(const Ceilings& ceilings);
Result<Ceilings> ceilings(const JsonReader& json);

}  // namespace coppice::evaluators::cpu
