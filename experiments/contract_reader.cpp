// op.json, member by member; each error names its place.
#include "experiments/contract_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coppice::experiments {
namespace {

bool is_integer_type(DType type) {
  return type == DType::i64 || type == DType::i32 || type == DType::i8 || type == DType::u8;
}

const TensorSpec* find_tensor(const Op& op, std::string_view name) {
  const auto found = std::ranges::find(op.tensors, name, &TensorSpec::name);
  return found == op.tensors.end() ? nullptr : &*found;
}

void read_types(const JsonReader& json, Op& op, Findings& findings) {
  for (const auto& [name, choices] : findings.take_or(json.members(), {})) {
    if (!is_identifier(name) || dtype(name).ok()) {
      findings.add(choices.complain(fmt::format("'{}' cannot name a choice of types", name)));
    }
    std::vector<std::string>& list = op.types[name];
    for (const JsonReader& item : findings.take_or(choices.items(), {})) {
      const std::optional<std::string> text = findings.take(item.text());
      if (text.has_value() && !dtype(*text).ok()) {
        findings.add(item.error("an element type (f64 f32 f16 bf16 e4m3 e5m2 i64 i32 i8 u8)"));
      } else if (text.has_value()) {
        list.push_back(*text);
      }
    }
    if (list.empty()) {
      findings.add(choices.complain("no type to choose from"));
      list.emplace_back("f32");
    }
  }
}

void read_constants(const JsonReader& json, Op& op, Findings& findings) {
  for (const auto& [name, item] : findings.take_or(json.members(), {})) {
    if (!is_identifier(name)) {
      findings.add(item.complain(fmt::format("'{}' is not a name", name)));
    }
    if (!item.is_number()) {
      findings.add(item.error("a number"));
      continue;
    }
    if (std::optional<Value> value = findings.take(item.value()); value.has_value()) {
      op.constants[name] = std::move(*value);
    }
  }
}

Fill read_fill(const JsonReader& json, Findings& findings) {
  Fill fill;
  findings.take(json.only_keys({"kind", "scale", "offset"}));
  const std::string kind = findings.take_or(json.text_or("kind", "normal"), {"normal"});
  if (kind == "uniform") {
    fill.kind = Fill::Kind::uniform;
  } else if (kind == "constant") {
    fill.kind = Fill::Kind::constant;
  } else if (kind != "normal") {
    findings.add(json.at("kind").value().error("normal, uniform or constant"));
  }
  fill.scale = findings.take_or(json.real_or("scale", 1.0), 1.0);
  fill.offset = findings.take_or(json.real_or("offset", 0.0), 0.0);
  if (!std::isfinite(fill.scale) || !std::isfinite(fill.offset)) {
    findings.add(json.complain("expected finite numbers"));
  }
  return fill;
}

std::optional<TensorRole> read_role(const JsonReader& json, Findings& findings) {
  const std::optional<std::string> text = findings.take(json.text());
  if (!text.has_value()) {
    return std::nullopt;
  }
  if (*text == "value") {
    return TensorRole::value;
  }
  if (*text == "structure") {
    return TensorRole::structure;
  }
  if (*text == "output") {
    return TensorRole::output;
  }
  findings.add(json.error("value, structure or output"));
  return std::nullopt;
}

void read_element_type(const JsonReader& json, const Op& op, TensorSpec& out, Findings& findings) {
  const std::optional<std::string> text = findings.take(json.text());
  if (!text.has_value()) {
    return;
  }
  out.dtype = *text;
  const bool chosen = op.types.contains(*text);
  const Result<DType> type = dtype(*text);
  if (!chosen && !type.ok()) {
    findings.add(json.error("an element type or a name from /types"));
    return;
  }
  if (out.role == TensorRole::structure && (chosen || !is_integer_type(*type))) {
    findings.add(json.error("a whole-number type (i64 i32 i8 u8) for a structure tensor"));
  }
}

void read_tensor(const JsonReader& json, Op& op, Findings& findings) {
  findings.take(json.only_keys({"name", "role", "dtype", "shape", "fill", "weight"}));
  TensorSpec out;
  const auto name = findings.take(json.at("name"));
  const auto role = findings.take(json.at("role"));
  const auto type = findings.take(json.at("dtype"));
  const auto shape = findings.take(json.at("shape"));
  if (!name || !role || !type || !shape) {
    return;
  }
  out.name = read_identifier(*name, findings).value_or("");
  if (!out.name.empty() && find_tensor(op, out.name) != nullptr) {
    findings.add(name->complain(fmt::format("'{}' is declared twice", out.name)));
  }
  out.role = read_role(*role, findings).value_or(TensorRole::value);
  read_element_type(*type, op, out, findings);
  out.shape = dim_scope(op).read_list(shape, findings);
  if (out.shape.empty() || out.shape.size() > 8) {
    findings.add(shape->error("1 to 8 extents"));
  }
  out.weight = findings.take_or(json.boolean_or("weight", false), false);
  if (const auto fill = json.find("fill"); fill.has_value()) {
    if (out.role != TensorRole::value) {
      findings.add(fill->complain("only value tensors are filled"));
    }
    out.fill = read_fill(*fill, findings);
  }
  const bool after_output = !op.tensors.empty() && op.tensors.back().role == TensorRole::output;
  if (after_output && out.role != TensorRole::output) {
    findings.add(json.complain(fmt::format("input '{}' stands after an output", out.name)));
  }
  op.tensors.push_back(std::move(out));
}

double read_limit(const JsonReader& json,
                  std::string_view key,
                  double fallback,
                  Findings& findings) {
  const double limit = findings.take_or(json.real_or(key, fallback), fallback);
  if (!(limit > 0) || !std::isfinite(limit)) {
    if (const auto item = json.find(key); item.has_value()) {
      findings.add(item->error("a positive number"));
    }
    return fallback;
  }
  return limit;
}

Tolerance read_tolerance(const JsonReader& json, Tolerance start, Findings& findings) {
  start.nrmse = read_limit(json, "nrmse", start.nrmse, findings);
  start.relative = read_limit(json, "relative", start.relative, findings);
  start.scaled = read_limit(json, "scaled", start.scaled, findings);
  start.row_factor = read_limit(json, "row_factor", start.row_factor, findings);
  if (json.find("absolute").has_value()) {
    start.absolute = read_limit(json, "absolute", 1e-4, findings);
  }
  return start;
}

void read_precision(const JsonReader& json, Op& op, Findings& findings) {
  findings.take(json.only_keys({"name",
                                "types",
                                "nrmse",
                                "relative",
                                "scaled",
                                "row_factor",
                                "absolute",
                                "outputs",
                                "summary"}));
  PrecisionClass out;
  const auto name = findings.take(json.at("name"));
  if (!name.has_value()) {
    return;
  }
  out.name = read_identifier(*name, findings).value_or("");
  if (op.precision_class(out.name) != nullptr) {
    findings.add(name->complain(fmt::format("'{}' is declared twice", out.name)));
  }
  if (const auto types = json.find("types"); types.has_value()) {
    out.types = read_type_choice(*types, op, findings);
  }
  out.tolerance = read_tolerance(json, Tolerance{}, findings);
  if (const auto outputs = json.find("outputs"); outputs.has_value()) {
    for (const auto& [tensor, limits] : findings.take_or(outputs->members(), {})) {
      const TensorSpec* spec = find_tensor(op, tensor);
      if (spec == nullptr || spec->role != TensorRole::output) {
        findings.add(limits.complain(fmt::format("'{}' is not an output of this op", tensor)));
      }
      findings.take(limits.only_keys({"nrmse", "relative", "scaled", "row_factor", "absolute"}));
      out.per_output[tensor] = read_tolerance(limits, out.tolerance, findings);
    }
  }
  op.precision.push_back(std::move(out));
}

void read_case(const JsonReader& json, Op& op, Findings& findings) {
  findings.take(json.only_keys({"name", "fills", "adjust"}));
  ValueCase out;
  const auto name = findings.take(json.at("name"));
  if (!name.has_value()) {
    return;
  }
  out.name = read_identifier(*name, findings).value_or("");
  if (std::ranges::find(op.cases, out.name, &ValueCase::name) != op.cases.end()) {
    findings.add(name->complain(fmt::format("'{}' is declared twice", out.name)));
  }
  out.adjust = findings.take_or(json.boolean_or("adjust", false), false);
  if (const auto fills = json.find("fills"); fills.has_value()) {
    for (const auto& [tensor, fill] : findings.take_or(fills->members(), {})) {
      const TensorSpec* spec = find_tensor(op, tensor);
      if (spec == nullptr || spec->role != TensorRole::value) {
        findings.add(fill.complain(fmt::format("'{}' is not a value tensor of this op", tensor)));
      }
      out.fills[tensor] = read_fill(fill, findings);
    }
  }
  op.cases.push_back(std::move(out));
}

void read_cost(const JsonReader& json, Op& op, Findings& findings) {
  findings.take(json.only_keys({"flops", "bytes", "compute"}));
  Scope scope = dim_scope(op).named("dims, constants and scalars");
  scope.allow(op.scalars);
  if (const auto flops = findings.take(json.at("flops")); flops.has_value()) {
    op.cost.flops = scope.read(*flops, findings).value_or(Expr());
  }
  if (const auto bytes = findings.take(json.at("bytes")); bytes.has_value()) {
    op.cost.bytes = scope.read(*bytes, findings).value_or(Expr());
  }
  if (const auto compute = findings.take(json.at("compute")); compute.has_value()) {
    op.cost.compute = read_identifier(*compute, findings).value_or("");
  }
}

// A name may stand for one thing only: expressions see dims, constants and scalars alike.
void check_distinct(const JsonReader& json, const Op& op, Findings& findings) {
  std::vector<std::string> names = op.dims;
  names.insert(names.end(), op.scalars.begin(), op.scalars.end());
  for (const auto& [name, value] : op.constants) {
    names.push_back(name);
  }
  for (const auto& [name, choices] : op.types) {
    names.push_back(name);
  }
  std::ranges::sort(names);
  for (std::size_t i = 1; i < names.size(); ++i) {
    if (names[i] == names[i - 1]) {
      findings.add(json.complain(fmt::format(
          "'{}' is declared twice among dims, types, constants and scalars", names[i])));
    }
  }
}

template <class Read>
void read_each(const JsonReader& json,
               std::string_view key,
               bool required,
               Op& op,
               Findings& findings,
               Read read) {
  const auto list = json.find(key);
  if (!list.has_value()) {
    if (required) {
      findings.take(json.at(key));
    }
    return;
  }
  const std::vector<JsonReader> items = findings.take_or(list->items(), {});
  for (const JsonReader& item : items) {
    read(item, op, findings);
  }
  if (required && items.empty() && list->is_array()) {
    findings.add(list->complain("expected at least one"));
  }
}

void read_names(const JsonReader& json, Op& op, Findings& findings) {
  if (const auto schema = findings.take(json.at("schema")); schema.has_value()) {
    findings.take(schema->integer_in(1, 1));
  }
  if (const auto name = findings.take(json.at("name")); name.has_value()) {
    op.name = read_identifier(*name, findings).value_or("");
  }
  if (const auto family = findings.take(json.at("family")); family.has_value()) {
    op.family = read_identifier(*family, findings).value_or("");
  }
  op.summary = findings.take_or(json.text_or("summary", ""), {});
  op.dims = read_identifiers(findings.take(json.at("dims")), findings);
  op.scalars = read_identifiers(json.find("scalars"), findings);
  if (const auto types = json.find("types"); types.has_value()) {
    read_types(*types, op, findings);
  }
  if (const auto constants = json.find("constants"); constants.has_value()) {
    read_constants(*constants, op, findings);
  }
}

}  // namespace

std::map<std::string, std::string, std::less<>> read_type_choice(const JsonReader& json,
                                                                 const Op& op,
                                                                 Findings& findings) {
  std::map<std::string, std::string, std::less<>> out;
  for (const auto& [name, item] : findings.take_or(json.members(), {})) {
    const auto declared = op.types.find(name);
    if (declared == op.types.end()) {
      findings.add(item.complain(fmt::format("op.json declares no type '{}'", name)));
      continue;
    }
    const std::string choice = findings.take_or(item.text(), declared->second.front());
    if (std::ranges::find(declared->second, choice) == declared->second.end()) {
      findings.add(item.error(fmt::format("one of: {}", fmt::join(declared->second, " "))));
    }
    out[name] = choice;
  }
  return out;
}

Scope dim_scope(const Op& op) {
  Scope scope("a dim or constant of the op");
  scope.allow(op.dims).allow(op.constants);
  for (const auto& [name, choices] : op.types) {
    scope.allow(name).allow(name + ".bytes");
  }
  return scope;
}

void read_contract(const JsonReader& json, Op& op, Findings& findings) {
  if (!findings.take(json.only_keys({"schema",
                                     "name",
                                     "family",
                                     "summary",
                                     "dims",
                                     "types",
                                     "constants",
                                     "scalars",
                                     "constraints",
                                     "tensors",
                                     "precision",
                                     "cases",
                                     "cost"})) &&
      !json.is_object()) {
    return;
  }
  read_names(json, op, findings);
  check_distinct(json, op, findings);
  op.constraints = dim_scope(op).read_list(json.find("constraints"), findings);
  read_each(json, "tensors", true, op, findings, read_tensor);
  read_each(json, "precision", true, op, findings, read_precision);
  read_each(json, "cases", true, op, findings, read_case);
  if (const auto cost = findings.take(json.at("cost")); cost.has_value()) {
    read_cost(*cost, op, findings);
  }
  const auto is_output = [](const TensorSpec& t) {
    return t.role == TensorRole::output;
  };
  if (!op.tensors.empty() && std::ranges::none_of(op.tensors, is_output)) {
    findings.add(json.complain("no tensor has the role output"));
  }
}

}  // namespace coppice::experiments
