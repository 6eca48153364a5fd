// Axes are read level by level; levels must be distinct, of one kind, and fit to become macros.
#include "experiments/axis_reader.h"

#include "experiments/contract_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace coppice::experiments {
namespace {

bool fits(const Value& level, AxisType type) {
  switch (type) {
    case AxisType::integer:
      return std::holds_alternative<std::int64_t>(level);
    case AxisType::boolean:
      return std::holds_alternative<bool>(level);
    case AxisType::ordinal:
    case AxisType::categorical:
      return true;
  }
  COPPICE_UNREACHABLE();
}

std::string_view expected_level(AxisType type) {
  switch (type) {
    case AxisType::integer:
      return "a whole number, as the axis is of type integer";
    case AxisType::boolean:
      return "true or false, as the axis is of type boolean";
    case AxisType::ordinal:
    case AxisType::categorical:
      return "a level";
  }
  COPPICE_UNREACHABLE();
}

void read_level(const JsonReader& json, Axis& out, Findings& findings) {
  std::optional<Value> level = findings.take(json.value());
  if (!level.has_value()) {
    return;
  }
  if (!fits(*level, out.type)) {
    findings.add(json.error(expected_level(out.type)));
    return;
  }
  if (!out.levels.empty() && out.levels.front().index() != level->index()) {
    findings.add(json.error("a level of the same kind as the first"));
    return;
  }
  if (const auto* text = std::get_if<std::string>(&*level);
      text != nullptr && !is_identifier("_" + *text)) {
    findings.add(json.error("a text of letters, digits and underscores (it becomes a macro)"));
  }
  if (std::ranges::find(out.levels, *level) != out.levels.end()) {
    findings.add(json.complain(fmt::format("level {} is listed twice", to_text(*level))));
    return;
  }
  out.levels.push_back(std::move(*level));
}

void read_levels(const JsonReader& json, Axis& out, Findings& findings) {
  const auto levels = findings.take(json.at("levels"));
  if (!levels.has_value()) {
    return;
  }
  const std::vector<JsonReader> items = findings.take_or(levels->items(), {});
  for (const JsonReader& item : items) {
    read_level(item, out, findings);
  }
  if (levels->is_array() && items.empty()) {
    findings.add(levels->complain(fmt::format("axis '{}' has no level", out.name)));
  } else if (items.size() > 65535) {
    findings.add(levels->complain("expected at most 65535 levels"));
  }
}

void read_default(const JsonReader& json, Axis& out, Findings& findings) {
  const auto item = findings.take(json.at("default"));
  if (!item.has_value() || out.levels.empty()) {
    return;
  }
  const std::optional<Value> wanted = findings.take(item->value());
  if (!wanted.has_value()) {
    return;
  }
  const auto found = std::ranges::find(out.levels, *wanted);
  if (found == out.levels.end()) {
    std::vector<std::string> levels;
    for (const Value& level : out.levels) {
      levels.push_back(to_text(level));
    }
    findings.add(item->error(fmt::format("one of the levels {}", fmt::join(levels, " "))));
    return;
  }
  out.default_level = static_cast<std::size_t>(found - out.levels.begin());
}

template <class T>
T read_enum(const JsonReader& json,
            std::string_view key,
            Result<T> (*parse)(std::string_view),
            T fallback,
            Findings& findings) {
  const auto item = findings.take(json.at(key));
  if (!item.has_value()) {
    return fallback;
  }
  const std::optional<std::string> text = findings.take(item->text());
  if (!text.has_value()) {
    return fallback;
  }
  const Result<T> value = parse(*text);
  if (!value.ok()) {
    findings.add(item->complain(value.error().message));
    return fallback;
  }
  return *value;
}

void read_axis(const JsonReader& json,
               const Op& op,
               const Scope& earlier,
               std::vector<Axis>& axes,
               Findings& findings) {
  findings.take(json.only_keys(
      {"name", "type", "kind", "levels", "default", "structural", "when", "summary"}));
  const auto name = findings.take(json.at("name"));
  if (!name.has_value()) {
    return;
  }
  Axis out;
  out.name = read_identifier(*name, findings).value_or("");
  if (std::ranges::find(axes, out.name, &Axis::name) != axes.end()) {
    findings.add(name->complain(fmt::format("axis '{}' is declared twice", out.name)));
    return;
  }
  const bool scalar = std::ranges::find(op.scalars, out.name) != op.scalars.end();
  if (scalar || dim_scope(op).knows(out.name)) {
    findings.add(name->complain(
        fmt::format("'{}' is already a dim, type, constant or scalar of the op", out.name)));
  }
  out.type = read_enum(json, "type", axis_type, AxisType::ordinal, findings);
  out.kind = read_enum(json, "kind", axis_kind, AxisKind::other, findings);
  out.structural = findings.take_or(json.boolean_or("structural", false), false);
  read_levels(json, out, findings);
  read_default(json, out, findings);
  if (const auto when = json.find("when"); when.has_value()) {
    out.when = earlier.read(*when, findings);
  }
  axes.push_back(std::move(out));
}

}  // namespace

std::string macro_name(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  });
  return out;
}

std::vector<std::string> axis_macros(const Axis& axis) {
  std::vector<std::string> out;
  for (const Value& level : axis.levels) {
    const auto* text = std::get_if<std::string>(&level);
    std::string macro = macro_name(text == nullptr ? axis.name : axis.name + "_" + *text);
    if (std::ranges::find(out, macro) == out.end()) {
      out.push_back(std::move(macro));
    }
  }
  return out;
}

Scope template_scope(const Op& op, const std::vector<Axis>& axes) {
  Scope scope = dim_scope(op).named("an axis, dim, constant, type or target fact");
  scope.allow_target_facts();
  for (const Axis& axis : axes) {
    scope.allow(axis.name);
  }
  return scope;
}

std::vector<Axis> read_axes(const JsonReader& json, const Op& op, Findings& findings) {
  std::vector<Axis> axes;
  for (const JsonReader& item : findings.take_or(json.items(), {})) {
    const Scope earlier =
        template_scope(op, axes).named("an earlier axis, dim, constant, type or target fact");
    read_axis(item, op, earlier, axes, findings);
  }
  return axes;
}

}  // namespace coppice::experiments
