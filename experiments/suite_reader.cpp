// Suites: strict reading, then every number that depends on a workload is computed once.
#include "experiments/suite_reader.h"

#include "core/op_shapes.h"
#include "experiments/contract_reader.h"
#include "experiments/scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace coppice::experiments {
namespace {

void read_dims(const JsonReader& json, const Op& op, Workload& out, Findings& findings) {
  for (const auto& [name, item] : findings.take_or(json.members(), {})) {
    if (std::ranges::find(op.dims, name) == op.dims.end()) {
      const std::string close = nearest(name, {op.dims.begin(), op.dims.end()});
      findings.add(
          item.complain(fmt::format("the op has no dim '{}'{}",
                                    name,
                                    close.empty() ? "" : fmt::format("; nearest is '{}'", close))));
      continue;
    }
    const auto extent = findings.take(item.integer_in(0, std::int64_t{1} << 40));
    out.dims[name] = extent.value_or(1);
  }
  for (const std::string& dim : op.dims) {
    if (!out.dims.contains(dim)) {
      findings.add(json.complain(fmt::format("dim '{}' has no value", dim)));
    }
  }
}

void read_structure(const JsonReader& json, Workload& out, Findings& findings) {
  for (const auto& [name, item] : findings.take_or(json.members(), {})) {
    if (!item.is_number() && !item.is_bool()) {
      findings.add(item.error("a number or a boolean"));
      continue;
    }
    if (std::optional<Value> value = findings.take(item.value()); value.has_value()) {
      out.structure[name] = std::move(*value);
    }
  }
}

void check_cost(const JsonReader& json,
                const Op& op,
                const Expr& cost,
                std::string_view what,
                const ValueMap& values,
                Findings& findings) {
  const bool needs_scalar = std::ranges::any_of(cost.names(), [&](const std::string& name) {
    return std::ranges::find(op.scalars, name) != op.scalars.end();
  });
  if (needs_scalar) {
    return;  // known only after the structure hook has run
  }
  const Result<double> number = cost.real(values);
  if (!number.ok()) {
    findings.add(json.complain(fmt::format("cost {}: {}", what, number.error().message)));
  } else if (!std::isfinite(*number) || *number < 0) {
    findings.add(json.complain(
        fmt::format("cost {}: '{}' is {}, expected at least 0", what, cost.text(), *number)));
  }
}

void check_workload(const JsonReader& json,
                    const Op& op,
                    const Suite& suite,
                    const Workload& workload,
                    Findings& findings) {
  const ValueMap values = workload_values(op, suite, workload);
  for (const Expr& constraint : op.constraints) {
    const Result<bool> holds = constraint.truth(values);
    if (!holds.ok()) {
      findings.add(json.complain(holds.error().message));
    } else if (!*holds) {
      findings.add(
          json.complain(fmt::format("breaks the op's constraint '{}'", constraint.text())));
    }
  }
  if (const auto shapes = tensor_shapes(op, suite, workload); !shapes.ok()) {
    findings.add(json.complain(shapes.error().message));
  }
  check_cost(json, op, op.cost.flops, "flops", values, findings);
  check_cost(json, op, op.cost.bytes, "bytes", values, findings);
}

void read_workload(const JsonReader& json,
                   const Op& op,
                   const Suite& suite,
                   std::vector<Workload>& list,
                   Findings& findings) {
  const std::size_t before = findings.count();
  findings.take(json.only_keys({"name", "dims", "structure", "structure_seed"}));
  Workload out;
  const auto name = findings.take(json.at("name"));
  const auto dims = findings.take(json.at("dims"));
  if (!name || !dims) {
    return;
  }
  out.name = read_identifier(*name, findings).value_or("");
  const auto same_name = [&](const Workload& other) {
    return other.name == out.name;
  };
  if (std::ranges::any_of(suite.workloads, same_name) ||
      std::ranges::any_of(suite.hidden, same_name)) {
    findings.add(name->complain(fmt::format("'{}' is declared twice", out.name)));
  }
  read_dims(*dims, op, out, findings);
  if (const auto structure = json.find("structure"); structure.has_value()) {
    read_structure(*structure, out, findings);
  }
  if (const auto seed = json.find("structure_seed"); seed.has_value()) {
    out.structure_seed = findings.take_or(seed->unsigned_integer(), std::uint64_t{1});
  }
  if (findings.count() == before) {
    check_workload(json, op, suite, out, findings);
  }
  list.push_back(std::move(out));
}

void check_types(const JsonReader& json, const Op& op, const Suite& suite, Findings& findings) {
  for (const auto& [name, choices] : op.types) {
    if (!suite.types.contains(name)) {
      findings.add(json.complain(fmt::format(
          "no choice for type '{}', expected one of: {}", name, fmt::join(choices, " "))));
    }
  }
  const auto permitted = [&](const PrecisionClass& precision) {
    return std::ranges::all_of(precision.types, [&](const auto& wanted) {
      const auto chosen = suite.types.find(wanted.first);
      return chosen != suite.types.end() && chosen->second == wanted.second;
    });
  };
  if (!op.precision.empty() && std::ranges::none_of(op.precision, permitted)) {
    findings.add(json.complain("no precision class of the op exists for these types"));
  }
}

}  // namespace

void read_suite(const JsonReader& json, const std::string& name, Op& op, Findings& findings) {
  findings.take(json.only_keys({"schema", "summary", "types", "workloads", "hidden"}));
  if (!json.is_object()) {
    return;
  }
  if (const auto schema = findings.take(json.at("schema")); schema.has_value()) {
    findings.take(schema->integer_in(1, 1));
  }
  Suite suite;
  suite.name = name;
  const std::size_t before = findings.count();
  if (const auto types = json.find("types"); types.has_value()) {
    suite.types = read_type_choice(*types, op, findings);
  }
  if (findings.count() == before) {
    check_types(json, op, suite, findings);
  }
  if (const auto timed = findings.take(json.at("workloads")); timed.has_value()) {
    const std::vector<JsonReader> items = findings.take_or(timed->items(), {});
    for (const JsonReader& item : items) {
      read_workload(item, op, suite, suite.workloads, findings);
    }
    if (items.empty() && timed->is_array()) {
      findings.add(timed->complain("expected at least one workload"));
    }
  }
  if (const auto hidden = json.find("hidden"); hidden.has_value()) {
    for (const JsonReader& item : findings.take_or(hidden->items(), {})) {
      read_workload(item, op, suite, suite.hidden, findings);
    }
  }
  op.suites.push_back(std::move(suite));
}

}  // namespace coppice::experiments
