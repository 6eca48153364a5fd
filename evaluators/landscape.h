// Synthetic recorded tables with the traits of real tuning spaces, for searches without a device.
#pragma once

#include "evaluators/recorded_table.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators {

// Names that generate_landscape() knows. Eleven are drawn from a list of traits (plateaus, cliffs
// of invalidity, needles, interacting axes, irrelevant axes, heavy tails, noise...), the others
// follow models of kernels on a GPU (occupancy, waves, staging, split and combine).
std::vector<std::string> landscape_names();

// The table of a landscape, 2,000 to 20,000 configurations. `instance` draws its optimum, weights,
// rules of failure and noise anew: tune on some instances, judge on others. The same arguments give
// the same bits everywhere. Errors: an unknown name.
Result<RecordedTable> generate_landscape(std::string_view name, std::uint64_t instance);

}  // namespace coppice::evaluators
