// WarmSource: what another run, shape or machine measured of the same kernel; data of a warm start.
#pragma once

#include "core/axis.h"
#include "core/json.h"
#include "core/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace coppice::planner {

struct WarmAxis {
  std::string name;
  AxisType type = AxisType::ordinal;
  std::vector<Value> levels;
  friend bool operator==(const WarmAxis&, const WarmAxis&) = default;
};

struct WarmRow {
  std::vector<std::uint16_t> levels;  // of each axis
  std::optional<double> log_cost;     // absent: it failed
  friend bool operator==(const WarmRow&, const WarmRow&) = default;
};

struct WarmTemplate {
  std::string name;
  std::vector<WarmAxis> axes;
  std::vector<WarmRow> rows;
  friend bool operator==(const WarmTemplate&, const WarmTemplate&) = default;
};

// Costs of one source are comparable with each other; those of different sources need not be.
struct WarmSource {
  static constexpr int kSchema = 1;
  std::string name;  // for people: kernel and device, or a run
  std::vector<WarmTemplate> templates;
  friend bool operator==(const WarmSource&, const WarmSource&) = default;
};

// The source's best cost; nothing when not one row is valid.
std::optional<double> best_log_cost(const WarmSource& source);

// {"schema": 1, "name": "...", "templates": [{"name": "...",
//  "axes": [{"name": "...", "type": "ordinal", "levels": [...]}],
//  "rows": [[level of each axis..., log cost or null], ...]}]}
Json to_json(const WarmSource& source);
// Errors name the place: a level that is out of range, a row of another length, a cost that is no
// number, no valid row at all.
Result<WarmSource> warm_source(const JsonReader& json);

}  // namespace coppice::planner
