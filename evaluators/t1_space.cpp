// Reads values and conditions with the program's own expressions.
#include "evaluators/t1_space.h"

#include <algorithm>

namespace coppice::evaluators {

namespace {

std::string t1_trimmed(std::string text) {
  const auto first = text.find_first_not_of(" \t\n\r");
  const auto last = text.find_last_not_of(" \t\n\r");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

// The parts between commas outside of quotes and brackets.
std::vector<std::string> t1_parts(const std::string& text) {
  std::vector<std::string> out(1);
  int depth = 0;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0) {
      quote = c == quote ? '\0' : quote;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '(' || c == '[') {
      ++depth;
    } else if (c == ')' || c == ']') {
      --depth;
    }
    if (c == ',' && depth == 0 && quote == 0) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  if (t1_trimmed(out.back()).empty()) {
    out.pop_back();  // nothing, or Python's trailing comma
  }
  return out;
}

Result<std::vector<Value>> t1_range(const JsonReader& where, const std::string& inside) {
  std::vector<std::int64_t> bounds;
  for (const std::string& part : t1_parts(inside)) {
    COPPICE_TRY(const Expr expr, Expr::parse(t1_trimmed(part)));
    COPPICE_TRY(const std::int64_t number, expr.integer({}));
    bounds.push_back(number);
  }
  if (bounds.empty() || bounds.size() > 3 || (bounds.size() == 3 && bounds[2] == 0)) {
    return where.error("range(stop), range(start, stop) or range(start, stop, step)");
  }
  const std::int64_t start = bounds.size() == 1 ? 0 : bounds[0];
  const std::int64_t stop = bounds.size() == 1 ? bounds[0] : bounds[1];
  const std::int64_t step = bounds.size() == 3 ? bounds[2] : 1;
  std::vector<Value> out;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop; i += step) {
    out.emplace_back(i);
    if (out.size() > 65535) {
      return where.error("at most 65,535 values");
    }
  }
  return out;
}

Result<std::vector<Value>> t1_values(const JsonReader& values) {
  std::vector<Value> out;
  if (values.is_array()) {
    COPPICE_TRY(const auto items, values.items());
    for (const JsonReader& item : items) {
      COPPICE_TRY(Value value, item.value());
      out.push_back(std::move(value));
    }
    return out;
  }
  COPPICE_TRY(std::string text, values.text());
  text = t1_trimmed(std::move(text));
  const auto inside = [&](const std::string& begin, const std::string& end) {
    const bool fits = text.size() >= begin.size() + end.size() && text.rfind(begin, 0) == 0 &&
                      text.compare(text.size() - end.size(), end.size(), end) == 0;
    return fits ? std::optional(text.substr(begin.size(), text.size() - begin.size() - end.size()))
                : std::nullopt;
  };
  if (const auto range = inside("list(range(", "))")) {
    return t1_range(values, *range);
  }
  if (const auto range = inside("range(", ")")) {
    return t1_range(values, *range);
  }
  const auto list = inside("[", "]");
  if (!list) {
    return values.error("a list or a range");
  }
  for (const std::string& part : t1_parts(*list)) {
    const Result<Expr> expr = Expr::parse(t1_trimmed(part));
    const Result<Value> value = expr.ok() ? expr->evaluate(ValueMap()) : expr.error();
    if (!value.ok()) {
      return values.complain("value " + t1_trimmed(part) + ": " + value.error().message);
    }
    out.push_back(*value);
  }
  return out;
}

bool t1_number(const Value& value) {
  return std::holds_alternative<std::int64_t>(value) || std::holds_alternative<double>(value);
}

Result<Axis> t1_axis(const JsonReader& parameter) {
  Axis axis;
  COPPICE_TRY(const JsonReader name, parameter.at("Name"));
  COPPICE_TRY(axis.name, name.text());
  COPPICE_TRY(const JsonReader values, parameter.at("Values"));
  COPPICE_TRY(axis.levels, t1_values(values));
  axis.type =
      std::ranges::all_of(axis.levels, t1_number) ? AxisType::ordinal : AxisType::categorical;
  if (const auto given = parameter.find("Default")) {
    COPPICE_TRY(const Value value, given->value());
    const auto at = std::find(axis.levels.begin(), axis.levels.end(), value);
    // Some documents name a default outside the values: then the first one stands.
    axis.default_level =
        at == axis.levels.end() ? 0 : static_cast<std::size_t>(at - axis.levels.begin());
  }
  return axis;
}

}  // namespace

Result<TemplateSpace> t1_space(const JsonReader& root) {
  COPPICE_TRY(const JsonReader configuration, root.at("ConfigurationSpace"));
  COPPICE_TRY(const JsonReader parameters, configuration.at("TuningParameters"));
  COPPICE_TRY(const auto items, parameters.items());
  std::vector<Axis> axes;
  for (const JsonReader& item : items) {
    COPPICE_TRY(Axis axis, t1_axis(item));
    axes.push_back(std::move(axis));
  }
  std::vector<Expr> restrictions;
  if (const auto conditions = configuration.find("Conditions")) {
    COPPICE_TRY(const auto list, conditions->items());
    for (const JsonReader& item : list) {
      COPPICE_TRY(const JsonReader expression, item.at("Expression"));
      COPPICE_TRY(const std::string text, expression.text());
      Result<Expr> expr = Expr::parse(text);
      if (!expr.ok()) {
        return expression.complain(expr.error().message);
      }
      restrictions.push_back(std::move(*expr));
    }
  }
  TemplateSpace out;
  out.name = "space";
  if (const auto kernel = root.find("KernelSpecification")) {
    COPPICE_TRY(out.name, kernel->text_or("KernelName", out.name));
  }
  auto space = AxisSpace::create(std::move(axes), std::move(restrictions));
  if (!space.ok()) {
    return configuration.complain(space.error().message);
  }
  out.space = std::move(*space);
  return out;
}

}  // namespace coppice::evaluators
