// TemplateSpace as JSON: what a run needs to know of a template that came while it ran.
#include "core/codec.h"
#include "core/search_space.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

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

// Hexadecimal digits that hold any level of these axes.
std::size_t level_digits(const std::vector<Axis>& axes) {
  const bool narrow =
      std::ranges::all_of(axes, [](const Axis& axis) { return axis.levels.size() <= 256; });
  return narrow ? 2 : 4;
}

// A listed space's genomes one after the other, each level with the same number of digits.
std::string pack(const std::vector<Genome>& genomes, std::size_t digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const Genome& genome : genomes) {
    for (const std::uint16_t level : genome.levels) {
      for (std::size_t i = digits; i-- > 0;) {
        out += kDigits[level >> (4 * i) & 0xF];
      }
    }
  }
  return out;
}

Result<std::vector<Genome>> unpack(const std::string& text, const std::vector<Axis>& axes) {
  const std::size_t digits = level_digits(axes);
  const std::size_t length = digits * axes.size();
  if (length == 0 || text.size() % length != 0) {
    return Error{ErrorCode::corrupt,
                 "listed: expected genomes of " + std::to_string(length) + " digits each, found " +
                     std::to_string(text.size()) + " digits"};
  }
  std::vector<Genome> out(text.size() / length);
  const char* at = text.data();
  for (Genome& genome : out) {
    for (const Axis& axis : axes) {
      std::uint16_t level = 0;
      const auto [end, error] = std::from_chars(at, at + digits, level, 16);
      if (error != std::errc() || end != at + digits || level >= axis.levels.size()) {
        return Error{ErrorCode::corrupt,
                     "listed: expected a level of axis " + axis.name + ", found \"" +
                         std::string(at, digits) + "\""};
      }
      genome.levels.push_back(level);
      at += digits;
    }
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
  if (const std::vector<Genome>* genomes = space.space.listed()) {
    out.set("listed", pack(*genomes, level_digits(space.space.axes())));
  }
  return out;
}

Result<TemplateSpace> template_space(const JsonReader& json) {
  TemplateSpace out;
  std::vector<Expr> restrictions;
  ValueMap constants;
  std::optional<std::string> listed;
  Fields fields(json, {"name", "axes", "restrictions", "constants", "precision", "listed"});
  fields.need("name", out.name)
      .maybe("listed", listed)
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
  if (listed) {
    COPPICE_TRY(std::vector<Genome> genomes, unpack(*listed, axes));
    COPPICE_TRY(out.space, AxisSpace::create_listed(std::move(axes), std::move(genomes)));
    return out;
  }
  COPPICE_TRY(out.space,
              AxisSpace::create(std::move(axes), std::move(restrictions), std::move(constants)));
  return out;
}

}  // namespace coppice
