// What the two kinds of landscapes share: a space, and an outcome for each of its genomes. Private
// to the generator.
#pragma once

#include "core/pinned_math.h"
#include "core/random.h"
#include "evaluators/recorded_table.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators::detail {

struct Landscape {
  std::vector<Axis> axes;
  std::vector<std::string> restrictions;
  // Milliseconds without noise; 0: fails when it is run. May keep what it learns.
  std::function<double(const AxisSpace&, const Genome&)> milliseconds;
  double noise = 0.0;  // standard deviation of ln(milliseconds), frozen into the table
};

Axis numbers(std::string name, std::vector<std::int64_t> levels);
Axis kinds(std::string name, std::size_t count);
Axis flag(std::string name);

// A number that belongs to the genome: the same at each call, uniform in [0, 1).
double share_of(const Genome& genome, std::uint64_t salt);

std::vector<std::string_view> trait_names();
std::vector<std::string_view> kernel_names();
Landscape trait_landscape(std::string_view name, std::uint64_t instance);
Landscape kernel_landscape(std::string_view name, std::uint64_t instance);

}  // namespace coppice::evaluators::detail
