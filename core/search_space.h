// SearchSpace: the templates of one run with their axes; Point: one genome in one of them.
#pragma once

#include "core/axis.h"
#include "core/expr.h"
#include "core/json.h"
#include "core/value.h"

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coppice {

// One template as the search sees it. Recorded tables make one from their columns.
struct TemplateSpace {
  std::string name;
  AxisSpace space;
  std::optional<Expr> precision;                      // axis values -> class name
  std::map<std::string, Expr, std::less<>> features;  // derived numbers for the world model
  ValueMap feature_values;                            // dims etc. that features may name
};

using SearchSpace = std::vector<TemplateSpace>;

// Name, axes, restrictions, constants and precision, or the genomes of a listed space; derived
// features are left out. Errors: what AxisSpace::create() and create_listed() refuse.
Json to_json(const TemplateSpace& space);
Result<TemplateSpace> template_space(const JsonReader& json);

// A genome of template `space[template_index]`.
struct Point {
  std::uint32_t template_index = 0;
  Genome genome;
  friend auto operator<=>(const Point&, const Point&) = default;
};

}  // namespace coppice
