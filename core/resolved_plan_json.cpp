// ResolvedPlan as JSON: what crosses to a device agent and what exports keep.
#include "core/codec.h"
#include "core/plan.h"

#include <algorithm>

namespace coppice {
namespace {

constexpr std::string_view kArgKinds[] = {"tensor", "workspace", "dim", "scalar", "tensor_map"};

Result<ArgKind> arg_kind(std::string_view text) {
  return enum_named<ArgKind>("kind", kArgKinds, text);
}

template <class Range>
Json integers(const Range& values) {
  return Json::array_of(values, [](std::int64_t value) { return Json(value); });
}

Json map_json(const ResolvedTensorMap& map) {
  return Json::object()
      .set("tensor", map.tensor)
      .set("dtype", map.dtype)
      .set("sizes", integers(map.sizes))
      .set("stride_bytes", integers(map.stride_bytes))
      .set("box", integers(map.box))
      .set("swizzle", map.swizzle)
      .set("l2_promotion", map.l2_promotion);
}

Json resolved_arg_json(const ResolvedArg& arg) {
  Json json = Json::object();
  json.set("kind", kArgKinds[static_cast<std::size_t>(arg.kind)]);
  set_if(json, "name", !arg.name.empty(), arg.name);
  set_if(json, "integer", arg.integer != 0, arg.integer);
  set_if(json, "real", arg.real != 0.0, arg.real);
  if (arg.map) {
    json.set("map", map_json(*arg.map));
  }
  return json;
}

Result<ResolvedTensorMap> read_map(const JsonReader& json) {
  ResolvedTensorMap map;
  Fields fields(json,
                {"tensor", "dtype", "sizes", "stride_bytes", "box", "swizzle", "l2_promotion"});
  fields.need("tensor", map.tensor)
      .need("dtype", map.dtype)
      .need("sizes", map.sizes)
      .need("stride_bytes", map.stride_bytes)
      .need("box", map.box)
      .need("swizzle", map.swizzle)
      .need("l2_promotion", map.l2_promotion);
  return fields.done(std::move(map));
}

Result<ResolvedArg> read_resolved_arg(const JsonReader& json) {
  ResolvedArg arg;
  Fields fields(json, {"kind", "name", "integer", "real", "map"});
  fields.need_enum("kind", arg.kind, arg_kind)
      .maybe("name", arg.name)
      .maybe("integer", arg.integer)
      .maybe("real", arg.real);
  COPPICE_TRY(arg, fields.done(std::move(arg)));
  if (const auto map = json.find("map")) {
    COPPICE_TRY(arg.map, read_map(*map));
  }
  return arg;
}

Json resolved_step_json(const ResolvedStep& step) {
  Json json = Json::object();
  set_if(json, "prepare", step.prepare, true);
  if (step.kind == StepKind::fill) {
    return json.set("fill", step.target).set("byte", step.byte);
  }
  json.set("kernel", step.entry)
      .set("grid", integers(step.grid))
      .set("block", integers(step.block))
      .set("cluster", integers(step.cluster))
      .set("shared_bytes", step.shared_bytes)
      .set("args", Json::array_of(step.args, resolved_arg_json));
  set_if(json, "cooperative", step.cooperative, true);
  set_if(json, "dependent", step.dependent, true);
  return json;
}

Result<void> read_resolved_triple(const JsonReader& json,
                                  std::string_view key,
                                  std::array<std::int64_t, 3>& out) {
  std::vector<std::int64_t> values;
  COPPICE_TRY(const JsonReader member, json.at(key));
  COPPICE_TRY_VOID(read(member, values));
  if (values.size() != 3) {
    return member.error("three whole numbers");
  }
  std::copy(values.begin(), values.end(), out.begin());
  return {};
}

Result<ResolvedStep> read_resolved_step(const JsonReader& json) {
  ResolvedStep step;
  if (json.is_object() && json.find("fill")) {
    step.kind = StepKind::fill;
    Fields fields(json, {"fill", "byte", "prepare"});
    fields.need("fill", step.target).need("byte", step.byte).maybe("prepare", step.prepare);
    return fields.done(std::move(step));
  }
  Fields fields(json,
                {"kernel",
                 "grid",
                 "block",
                 "cluster",
                 "shared_bytes",
                 "args",
                 "cooperative",
                 "dependent",
                 "prepare"});
  fields.need("kernel", step.entry)
      .need("shared_bytes", step.shared_bytes)
      .maybe("cooperative", step.cooperative)
      .maybe("dependent", step.dependent)
      .maybe("prepare", step.prepare);
  COPPICE_TRY(step, fields.done(std::move(step)));
  COPPICE_TRY_VOID(read_resolved_triple(json, "grid", step.grid));
  COPPICE_TRY_VOID(read_resolved_triple(json, "block", step.block));
  COPPICE_TRY_VOID(read_resolved_triple(json, "cluster", step.cluster));
  COPPICE_TRY(const JsonReader args, json.at("args"));
  COPPICE_TRY(const std::vector<JsonReader> items, args.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(ResolvedArg arg, read_resolved_arg(item));
    step.args.push_back(std::move(arg));
  }
  return step;
}

}  // namespace

Json to_json(const ResolvedPlan& plan) {
  Json defines = Json::object();
  for (const auto& [name, text] : plan.defines) {
    defines.set(name, text);
  }
  return Json::object()
      .set("workspace",
           Json::array_of(
               plan.workspace,
               [](const auto& slice) {
                 return Json::object().set("name", slice.first).set("bytes", slice.second);
               }))
      .set("defines", defines)
      .set("threads", plan.threads)
      .set("graph_safe", plan.graph_safe)
      .set("steps", Json::array_of(plan.steps, resolved_step_json));
}

Result<ResolvedPlan> resolved_plan(const JsonReader& json) {
  ResolvedPlan plan;
  Fields fields(json, {"workspace", "defines", "threads", "graph_safe", "steps"});
  fields.need("defines", plan.defines)
      .need("threads", plan.threads)
      .need("graph_safe", plan.graph_safe);
  COPPICE_TRY(plan, fields.done(std::move(plan)));
  COPPICE_TRY(const JsonReader workspace, json.at("workspace"));
  COPPICE_TRY(const std::vector<JsonReader> slices, workspace.items());
  for (const JsonReader& item : slices) {
    std::pair<std::string, std::int64_t> slice;
    Fields parts(item, {"name", "bytes"});
    parts.need("name", slice.first).need("bytes", slice.second);
    COPPICE_TRY(slice, parts.done(std::move(slice)));
    plan.workspace.push_back(std::move(slice));
  }
  COPPICE_TRY(const JsonReader steps, json.at("steps"));
  COPPICE_TRY(const std::vector<JsonReader> items, steps.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(ResolvedStep step, read_resolved_step(item));
    plan.steps.push_back(std::move(step));
  }
  return plan;
}

}  // namespace coppice
