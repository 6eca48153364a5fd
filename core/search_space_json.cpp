// TemplateSpace as JSON: what a run needs to know of a template that came while it ran.
#include "core/codec.h"
#include "core/search_space.h"

namespace coppice {
namespace {

Json axis_json(const Axis& axis) {
  Json out = Json::object();
  out.set("name", axis.name)
      .set("type", to_text(axis.type))
      .set("kind", to_text(axis.kind))
      .set("levels", Json::array_of(axis.levels, [](const Value& level) { return Json(level); }))
      .set("default", std::uint64_t{axis.default_level})
      .set("structural", axis.structural);
  if (axis.when) {
    out.set("when", to_json(*axis.when));
  }
  return out;
}

Result<Axis> read_space_axis(const JsonReader& json) {
  Axis axis;
  std::uint64_t chosen = 0;
  Fields fields(json, {"name", "type", "kind", "levels", "default", "structural", "when"});
  fields.need("name", axis.name)
      .need_enum("type", axis.type, axis_type)
      .need_enum("kind", axis.kind, axis_kind)
      .need("default", chosen)
      .need("structural", axis.structural)
      .maybe("when", axis.when);
  COPPICE_TRY(axis, fields.done(std::move(axis)));
  COPPICE_TRY(const JsonReader levels, json.at("levels"));
  COPPICE_TRY(const std::vector<JsonReader> items, levels.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(const Value level, item.value());
    axis.levels.push_back(level);
  }
  axis.default_level = static_cast<std::size_t>(chosen);
  return axis;
}

}  // namespace

Json to_json(const TemplateSpace& space) {
  Json out = Json::object();
  out.set("name", space.name)
      .set("axes", Json::array_of(space.space.axes(), axis_json))
      .set("restrictions",
           Json::array_of(space.space.restrictions(), [](const Expr& e) { return to_json(e); }))
      .set("constants", to_json(space.space.constants()));
  if (space.precision) {
    out.set("precision", to_json(*space.precision));
  }
  return out;
}

Result<TemplateSpace> template_space(const JsonReader& json) {
  TemplateSpace out;
  std::vector<Expr> restrictions;
  ValueMap constants;
  Fields fields(json, {"name", "axes", "restrictions", "constants", "precision"});
  fields.need("name", out.name)
      .need("restrictions", restrictions)
      .need("constants", constants)
      .maybe("precision", out.precision);
  COPPICE_TRY(out, fields.done(std::move(out)));
  COPPICE_TRY(const JsonReader list, json.at("axes"));
  COPPICE_TRY(const std::vector<JsonReader> items, list.items());
  std::vector<Axis> axes;
  for (const JsonReader& item : items) {
    COPPICE_TRY(Axis axis, read_space_axis(item));
    axes.push_back(std::move(axis));
  }
  COPPICE_TRY(out.space,
              AxisSpace::create(std::move(axes), std::move(restrictions), std::move(constants)));
  return out;
}

}  // namespace coppice
