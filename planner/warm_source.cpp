// JSON of warm-start data.
#include "planner/warm_source.h"

#include <algorithm>
#include <cmath>

namespace coppice::planner {
namespace {

Json axis_json(const WarmAxis& axis) {
  return Json::object()
      .set("name", axis.name)
      .set("type", to_text(axis.type))
      .set("levels", Json::array_of(axis.levels, [](const Value& v) { return Json(v); }));
}

Json row_json(const WarmRow& row) {
  Json out = Json::array();
  for (const std::uint16_t level : row.levels) {
    out.push(std::int64_t{level});
  }
  out.push(row.log_cost ? Json(*row.log_cost) : Json());
  return out;
}

Result<WarmAxis> read_axis(const JsonReader& json) {
  COPPICE_TRY_VOID(json.only_keys({"name", "type", "levels"}));
  WarmAxis out;
  COPPICE_TRY(const JsonReader name, json.at("name"));
  COPPICE_TRY(out.name, name.text());
  COPPICE_TRY(const JsonReader type, json.at("type"));
  COPPICE_TRY(const std::string text, type.text());
  const Result<AxisType> known = axis_type(text);
  if (!known.ok()) {
    return type.error("a type of axis");
  }
  out.type = *known;
  COPPICE_TRY(const JsonReader levels, json.at("levels"));
  COPPICE_TRY(const auto items, levels.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(Value level, item.value());
    out.levels.push_back(std::move(level));
  }
  if (out.levels.empty() || out.levels.size() > 65535) {
    return levels.error("1 to 65,535 levels");
  }
  return out;
}

Result<WarmRow> read_row(const JsonReader& json, const std::vector<WarmAxis>& axes) {
  COPPICE_TRY(const auto items, json.items());
  if (items.size() != axes.size() + 1) {
    return json.error("a level for each axis and a cost");
  }
  WarmRow out;
  out.levels.reserve(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto last = static_cast<std::int64_t>(axes[i].levels.size()) - 1;
    COPPICE_TRY(const std::int64_t level, items[i].integer_in(0, last));
    out.levels.push_back(static_cast<std::uint16_t>(level));
  }
  if (!items.back().is_null()) {
    COPPICE_TRY(const double cost, items.back().real());
    if (!std::isfinite(cost)) {
      return items.back().error("a finite cost");
    }
    out.log_cost = cost;
  }
  return out;
}

Result<WarmTemplate> read_template(const JsonReader& json) {
  COPPICE_TRY_VOID(json.only_keys({"name", "axes", "rows"}));
  WarmTemplate out;
  COPPICE_TRY(const JsonReader name, json.at("name"));
  COPPICE_TRY(out.name, name.text());
  COPPICE_TRY(const JsonReader axes, json.at("axes"));
  COPPICE_TRY(const auto axis_items, axes.items());
  for (const JsonReader& item : axis_items) {
    COPPICE_TRY(WarmAxis axis, read_axis(item));
    out.axes.push_back(std::move(axis));
  }
  COPPICE_TRY(const JsonReader rows, json.at("rows"));
  COPPICE_TRY(const auto row_items, rows.items());
  for (const JsonReader& item : row_items) {
    COPPICE_TRY(WarmRow row, read_row(item, out.axes));
    out.rows.push_back(std::move(row));
  }
  return out;
}

}  // namespace

std::optional<double> best_log_cost(const WarmSource& source) {
  std::optional<double> best;
  for (const WarmTemplate& one : source.templates) {
    for (const WarmRow& row : one.rows) {
      if (row.log_cost && (!best || *row.log_cost < *best)) {
        best = row.log_cost;
      }
    }
  }
  return best;
}

Json to_json(const WarmSource& source) {
  return Json::object()
      .set("schema", WarmSource::kSchema)
      .set("name", source.name)
      .set("templates", Json::array_of(source.templates, [](const WarmTemplate& one) {
             return Json::object()
                 .set("name", one.name)
                 .set("axes", Json::array_of(one.axes, axis_json))
                 .set("rows", Json::array_of(one.rows, row_json));
           }));
}

Result<WarmSource> warm_source(const JsonReader& json) {
  COPPICE_TRY_VOID(json.only_keys({"schema", "name", "templates"}));
  COPPICE_TRY(const JsonReader schema, json.at("schema"));
  COPPICE_TRY_VOID(schema.integer_in(WarmSource::kSchema, WarmSource::kSchema));
  WarmSource out;
  COPPICE_TRY(const JsonReader name, json.at("name"));
  COPPICE_TRY(out.name, name.text());
  COPPICE_TRY(const JsonReader templates, json.at("templates"));
  COPPICE_TRY(const auto items, templates.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(WarmTemplate one, read_template(item));
    out.templates.push_back(std::move(one));
  }
  if (!best_log_cost(out)) {
    return json.complain("expected at least one row with a cost, found none");
  }
  return out;
}

}  // namespace coppice::planner
