// LaneUse: how one evaluation used a device's timing lane, as the run kept it beside the evidence.
#pragma once

#include "core/evidence.h"

#include <optional>

namespace coppice::archive {

struct LaneUse {
  int device = 0;         // which of the run's devices
  Nanoseconds waited{};   // compiled, until the lane took it
  Nanoseconds idle{};     // the lane had nothing compiled before it
  Nanoseconds loaded{};   // from when the lane had compiled work until the result
  Nanoseconds kernels{};  // of that: launches, flushes and the judge's kernels; 0: not known
};

// Member "lane" of Evidence::validation: {"device","waited_ns","idle_ns","loaded_ns"}.
void set_lane_use(Evidence& evidence, const LaneUse& use);
// Nothing where the evaluation never reached a device, or an older program kept the log.
std::optional<LaneUse> lane_use_of(const Evidence& evidence);

}  // namespace coppice::archive
