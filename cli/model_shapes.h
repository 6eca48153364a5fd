// model_shapes: suites of an operation for one model, from the model's config.json and the
// operation's own shapes.json (docs/shapes.md). Nothing here knows a model or an operation.
#pragma once

#include "core/json.h"
#include "core/op.h"
#include "core/result.h"

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace coppice::cli {

struct ShapeRequest {
  ValueMap model;  // top-level numbers, booleans and texts of the model's config.json
  std::int64_t tp = 1;
  // Levels that replace those of the rules: {"batch": [1, 16]}.
  std::map<std::string, std::vector<std::int64_t>, std::less<>> levels;
};

// The members of a model's configuration that expressions may name; a nested "text_config" counts
// as if it were the whole.
Result<ValueMap> model_values(const JsonReader& config);

// A suite, or the words why this model has none of this operation.
using ModelSuite = std::variant<Json, std::string>;
Result<ModelSuite> model_suite(const JsonReader& rules, const ShapeRequest& request);

}  // namespace coppice::cli
