// template.json, baseline.json, twin.json: strict reading and checks against the contract.
#include "experiments/template_reader.h"

#include "core/evidence.h"
#include "experiments/axis_reader.h"
#include "experiments/contract_reader.h"
#include "experiments/plan_check.h"
#include "experiments/scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace coppice::experiments {
namespace {

// Flags that a template may add: code generation only, nothing that reads or writes files.
constexpr std::array<std::string_view, 12> kFlags = {"-ffast-math",
                                                     "-fassociative-math",
                                                     "-ffp-contract=off",
                                                     "-funroll-loops",
                                                     "-fno-tree-vectorize",
                                                     "-fno-unroll-loops",
                                                     "-O2",
                                                     "-mprefer-vector-width=128",
                                                     "-mprefer-vector-width=256",
                                                     "-mno-avx512f",
                                                     "-mprefer-vector-width=512",
                                                     "-fno-tree-slp-vectorize"};
constexpr std::array<std::string_view, 10> kLibraries = {"none",
                                                         "openblas",
                                                         "onednn",
                                                         "cublaslt",
                                                         "cudnn",
                                                         "cutlass",
                                                         "torch",
                                                         "triton",
                                                         "vllm",
                                                         "flashinfer"};

void read_schema(const JsonReader& json, Findings& findings) {
  if (const auto schema = findings.take(json.at("schema")); schema.has_value()) {
    findings.take(schema->integer_in(1, 1));
  }
}

Scope plan_scope(const Op& op, const std::vector<Axis>& axes) {
  Scope scope = dim_scope(op).named("an axis, dim, constant, scalar, type or target fact");
  scope.allow_target_facts().allow(op.scalars);
  for (const Axis& axis : axes) {
    scope.allow(axis.name);
  }
  return scope;
}

std::optional<LaunchPlan> read_plan(const JsonReader& json,
                                    const PartPlace& place,
                                    const Op& op,
                                    const std::vector<Axis>& axes,
                                    bool may_leave_out,
                                    Findings& findings) {
  std::optional<LaunchPlan> plan = findings.take(launch_plan(json));
  if (plan.has_value()) {
    const PlanContext context{&op,
                              plan_scope(op, axes),
                              place.backend,
                              place.source_name,
                              place.source,
                              json.place(),
                              may_leave_out};
    check_plan(*plan, context, findings);
  }
  return plan;
}

void read_flags(const JsonReader& json, Template& out, Findings& findings) {
  for (const JsonReader& item : findings.take_or(json.items(), {})) {
    const std::optional<std::string> flag = findings.take(item.text());
    if (flag.has_value() && std::ranges::find(kFlags, *flag) == kFlags.end()) {
      findings.add(item.error(fmt::format("one of: {}", fmt::join(kFlags, " "))));
    } else if (flag.has_value()) {
      out.flags.push_back(*flag);
    }
  }
}

// Axis values, plan defines and types all become macros of one source.
void check_macros(const JsonReader& json, const Op& op, const Template& part, Findings& findings) {
  std::vector<std::string> macros;
  for (const Axis& axis : part.axes) {
    for (std::string& macro : axis_macros(axis)) {
      macros.push_back(std::move(macro));
    }
  }
  for (const auto& [name, value] : part.plan.defines) {
    macros.push_back(name);
  }
  for (const auto& [name, choices] : op.types) {
    for (const std::string& choice : choices) {
      macros.push_back(macro_name(fmt::format("{}_{}", name, choice)));
    }
  }
  std::ranges::sort(macros);
  for (std::size_t i = 1; i < macros.size(); ++i) {
    if (macros[i] == macros[i - 1]) {
      findings.add(json.complain(fmt::format("two things would define the macro {}", macros[i])));
    }
  }
}

void read_template_parts(const JsonReader& json,
                         const PartPlace& place,
                         const Op& op,
                         Template& out,
                         Findings& findings) {
  const Scope scope = template_scope(op, out.axes);
  out.restrictions = scope.read_list(json.find("restrictions"), findings);
  if (const auto precision = json.find("precision"); precision.has_value()) {
    out.precision = scope.read(*precision, findings);
  }
  out.requires_features = read_identifiers(json.find("requires"), findings);
  if (const auto features = json.find("features"); features.has_value()) {
    for (const auto& [name, item] : findings.take_or(features->members(), {})) {
      out.features[name] = scope.read(item, findings).value_or(Expr());
    }
  }
  if (const auto flags = json.find("flags"); flags.has_value()) {
    read_flags(*flags, out, findings);
  }
  if (const auto plan = findings.take(json.at("plan")); plan.has_value()) {
    out.plan = read_plan(*plan, place, op, out.axes, false, findings).value_or(LaunchPlan{});
  }
}

// A twin that borrows its template's plan must define the kernels that the template defines.
void check_twin_kernels(const JsonReader& json,
                        const Template& base,
                        const PartPlace& place,
                        Findings& findings) {
  for (const PlanStep& step : base.plan.steps) {
    if (step.kind == StepKind::kernel && mentions(base.source, step.entry) &&
        !mentions(place.source, step.entry)) {
      findings.add(json.complain(fmt::format("{} defines no kernel '{}', which template '{}' runs",
                                             place.source_name,
                                             step.entry,
                                             base.name)));
    }
  }
}

}  // namespace

void read_template(const JsonReader& json, const PartPlace& place, Op& op, Findings& findings) {
  const std::size_t before = findings.count();
  findings.take(json.only_keys({"schema",
                                "summary",
                                "requires",
                                "flags",
                                "axes",
                                "restrictions",
                                "precision",
                                "features",
                                "plan"}));
  if (!json.is_object()) {
    return;
  }
  read_schema(json, findings);
  if (op.find_template(place.name) != nullptr) {
    findings.add(json.complain(fmt::format("another backend has a template '{}'", place.name)));
  }
  Template out;
  out.name = place.name;
  out.backend = place.backend;
  out.source_name = place.source_name;
  out.source = place.source;
  out.summary = findings.take_or(json.text_or("summary", ""), {});
  if (const auto axes = json.find("axes"); axes.has_value()) {
    out.axes = read_axes(*axes, op, findings);
  }
  read_template_parts(json, place, op, out, findings);
  check_macros(json, op, out, findings);
  if (findings.count() == before) {
    check_space(json, op, out, findings);
  }
  op.templates.push_back(std::move(out));
}

void read_baseline(const JsonReader& json, const PartPlace& place, Op& op, Findings& findings) {
  findings.take(json.only_keys({"schema", "summary", "library", "prepacked", "variants", "plan"}));
  if (!json.is_object()) {
    return;
  }
  read_schema(json, findings);
  BaselineSpec out;
  out.name = place.name;
  out.backend = place.backend;
  out.source_name = place.source_name;
  out.source = place.source;
  if (const auto library = findings.take(json.at("library")); library.has_value()) {
    out.library = findings.take_or(library->text(), {"none"});
    if (std::ranges::find(kLibraries, out.library) == kLibraries.end()) {
      findings.add(library->error(fmt::format("one of: {}", fmt::join(kLibraries, " "))));
    }
  }
  out.prepacked = findings.take_or(json.boolean_or("prepacked", false), false);
  if (const auto variants = json.find("variants"); variants.has_value()) {
    for (const JsonReader& variant : findings.take_or(variants->items(), {})) {
      auto& environment = out.variants.emplace_back();
      for (const auto& [name, item] : findings.take_or(variant.members(), {})) {
        environment[name] = findings.take_or(item.text(), {});
      }
    }
  }
  if (out.variants.empty()) {
    out.variants.emplace_back();
  }
  const bool python = place.source_name == "baseline.py";
  if (const auto plan = json.find("plan"); plan.has_value()) {
    if (python) {
      findings.add(
          plan->complain("a baseline in Python captures its own launches and has no plan"));
    }
    if (place.backend == "cpu") {
      findings.add(plan->complain("a cpu baseline is host code and has no plan"));
    }
    out.plan = read_plan(*plan, place, op, {}, false, findings);
  } else if (python) {
    if (!mentions(place.source, "coppice_opponent")) {
      findings.add(json.complain("baseline.py does not import coppice_opponent"));
    }
  } else if (place.backend != "cpu") {
    findings.take(json.at("plan"));
  } else if (!mentions(place.source, "coppice_baseline_run")) {
    findings.add(
        json.complain(fmt::format("{} defines no coppice_baseline_run", place.source_name)));
  }
  op.baselines.push_back(std::move(out));
}

namespace {

// A baseline's kernel with texts replaced, each of which must stand there exactly once: what is
// wrong with a bad twin is then all that there is to read.
void edit_baseline(const JsonReader& json, const Op& op, Twin& out, Findings& findings) {
  const auto from = json.find("baseline");
  const std::string name = findings.take_or(from->text(), {});
  const auto known = std::ranges::find_if(op.baselines, [&](const BaselineSpec& spec) {
    return spec.name == name && spec.backend == out.backend && spec.plan.has_value();
  });
  if (known == op.baselines.end()) {
    findings.add(from->error("a baseline of this op and backend that has a plan"));
    return;
  }
  out.plan = known->plan;
  out.source = known->source;
  const auto edits = json.find("edits");
  for (const JsonReader& edit :
       edits ? findings.take_or(edits->items(), {}) : std::vector<JsonReader>()) {
    const std::vector<std::string> texts = findings.take_or(edit.texts(), {});
    if (texts.size() != 2) {
      findings.add(edit.error("two texts: what stands in the baseline, and what replaces it"));
      continue;
    }
    const std::size_t at = out.source.find(texts[0]);
    if (texts[0].empty() || at == std::string::npos ||
        out.source.find(texts[0], at + 1) != std::string::npos) {
      findings.add(edit.complain("expected to stand exactly once in baseline " + name));
      continue;
    }
    out.source.replace(at, texts[0].size(), texts[1]);
  }
}

}  // namespace

void read_twin(const JsonReader& json, const PartPlace& place, Op& op, Findings& findings) {
  findings.take(json.only_keys(
      {"schema", "summary", "good", "template", "gate", "plan", "baseline", "edits"}));
  if (!json.is_object()) {
    return;
  }
  read_schema(json, findings);
  Twin out;
  out.name = place.name;
  out.backend = place.backend;
  out.source_name = place.source_name;
  out.source = place.source;
  if (const auto good = findings.take(json.at("good")); good.has_value()) {
    out.good = findings.take_or(good->boolean(), false);
  }
  if (const auto expected = json.find("gate"); expected.has_value()) {
    out.expect_gate = findings.take_or(expected->text(), {});
    if (out.good) {
      findings.add(expected->complain("a good twin is refused at no gate"));
    } else if (!gate(out.expect_gate).ok()) {
      findings.add(expected->error("the name of a gate (docs/verification.md)"));
    }
  }
  if (json.find("baseline").has_value()) {
    edit_baseline(json, op, out, findings);
    op.twins.push_back(std::move(out));
    return;
  }
  if (place.source.empty()) {
    findings.add(json.complain(R"(expected a kernel beside it, or "baseline")"));
  }
  const Template* base = nullptr;
  if (const auto from = json.find("template"); from.has_value()) {
    out.from_template = findings.take_or(from->text(), {});
    base = op.find_template(out.from_template);
    if (base == nullptr || base->backend != place.backend) {
      findings.add(from->error(fmt::format("a {} template of this op", place.backend)));
    } else if (!json.find("plan").has_value()) {
      check_twin_kernels(json, *base, place, findings);
    }
  }
  if (const auto plan = json.find("plan"); plan.has_value()) {
    const std::vector<Axis> axes = base == nullptr ? std::vector<Axis>{} : base->axes;
    out.plan = read_plan(*plan, place, op, axes, !out.good, findings);
  } else if (out.from_template.empty()) {
    findings.add(json.complain(R"(expected "template" or "plan")"));
  }
  op.twins.push_back(std::move(out));
}

void read_reference_plan(const JsonReader& json, Op& op, Findings& findings) {
  const PartPlace place{"cuda", "reference", "reference.cu", op.reference_cu};
  op.reference_plan = read_plan(json, place, op, {}, false, findings);
}

}  // namespace coppice::experiments
