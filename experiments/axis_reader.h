// Reads a template's axes and checks that its space has something to search.
#pragma once

#include "core/op.h"
#include "experiments/findings.h"
#include "experiments/scope.h"

#include <string>
#include <vector>

namespace coppice::experiments {

std::vector<Axis> read_axes(const JsonReader& json, const Op& op, Findings& findings);

// Names that restrictions, precision and features may use.
Scope template_scope(const Op& op, const std::vector<Axis>& axes);

// "tile_kv" -> "TILE_KV"
std::string macro_name(std::string_view text);
// The macros that the axis may put in front of a source.
std::vector<std::string> axis_macros(const Axis& axis);

// For each suite that the template can serve: the default genome obeys the restrictions, and every
// precision class that it can name exists. Restrictions over target facts wait for the target.
void check_space(const JsonReader& json, const Op& op, const Template& part, Findings& findings);

}  // namespace coppice::experiments
