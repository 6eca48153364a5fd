// LaunchPlan and ResolvedPlan as JSON; the spelling of LaunchPlan is that of docs/op-format.md.
#include "core/codec.h"
#include "core/plan.h"

namespace coppice {
namespace {

template <class Range>
Json array_of_exprs(const Range& expressions) {
  return Json::array_of(expressions, [](const Expr& e) { return to_json(e); });
}

// Trailing entries that equal `missing` are left out.
Json triple(const std::array<Expr, 3>& expressions, std::string_view missing) {
  std::size_t count = 3;
  while (count > 0 && expressions[count - 1].text() == missing) {
    --count;
  }
  return array_of_exprs(std::vector<Expr>(expressions.begin(), expressions.begin() + count));
}

Result<void> read_triple(const JsonReader& json, std::string_view key, std::array<Expr, 3>& out) {
  const auto member = json.find(key);
  if (!member) {
    return {};
  }
  std::vector<Expr> values;
  COPPICE_TRY_VOID(read(*member, values));
  if (values.size() > 3) {
    return member->error("at most three entries");
  }
  std::move(values.begin(), values.end(), out.begin());
  return {};
}

Json arg_json(const PlanArg& arg) {
  Json json = Json::object();
  switch (arg.kind) {
    case ArgKind::tensor:
      return json.set("tensor", arg.name);
    case ArgKind::workspace:
      set_if(json, "offset", arg.value.text() != "0", to_json(arg.value));
      return json.set("workspace", arg.name);
    case ArgKind::dim:
      return json.set("dim", to_json(arg.value));
    case ArgKind::scalar:
      return json.set("scalar", to_json(arg.value));
    case ArgKind::tensor_map: {
      const TensorMapSpec map = arg.map.value_or(TensorMapSpec{});
      return json.set("tensor_map", arg.name)
          .set("dtype", map.dtype)
          .set("sizes", array_of_exprs(map.sizes))
          .set("stride_bytes", array_of_exprs(map.stride_bytes))
          .set("box", array_of_exprs(map.box))
          .set("swizzle", map.swizzle)
          .set("l2_promotion", map.l2_promotion);
    }
  }
  COPPICE_UNREACHABLE();
}

Result<void> read_swizzle(const JsonReader& json, TensorMapSpec& map) {
  const std::initializer_list<std::pair<const char*, std::string*>> fields = {
      {"swizzle", &map.swizzle}, {"l2_promotion", &map.l2_promotion}};
  for (const auto& [key, out] : fields) {
    const auto member = json.find(key);
    if (!member) {
      continue;
    }
    if (member->is_number()) {
      COPPICE_TRY(const std::int64_t number, member->integer());
      *out = std::to_string(number);
    } else {
      COPPICE_TRY(*out, member->text());
    }
    const bool known = *out == "none" || *out == "64" || *out == "128" ||
                       *out == (out == &map.swizzle ? "32" : "256");
    if (!known) {
      return member->error(out == &map.swizzle ? "none, 32, 64 or 128" : "none, 64, 128 or 256");
    }
  }
  return {};
}

Result<PlanArg> read_tensor_map(const JsonReader& json) {
  PlanArg arg;
  arg.kind = ArgKind::tensor_map;
  TensorMapSpec map;
  Fields fields(json,
                {"tensor_map", "dtype", "sizes", "stride_bytes", "box", "swizzle", "l2_promotion"});
  fields.need("tensor_map", arg.name)
      .need("dtype", map.dtype)
      .need("sizes", map.sizes)
      .need("stride_bytes", map.stride_bytes)
      .need("box", map.box);
  COPPICE_TRY_VOID(fields.done(0).ok() ? read_swizzle(json, map) : Result<void>());
  const std::size_t rank = map.sizes.size();
  COPPICE_TRY(arg, fields.done(std::move(arg)));
  if (rank < 1 || rank > 5 || map.box.size() != rank || map.stride_bytes.size() + 1 != rank) {
    return json.error("1 to 5 sizes, as many box entries, and one stride_bytes entry less");
  }
  arg.map = std::move(map);
  return arg;
}

Result<PlanArg> read_arg(const JsonReader& json) {
  PlanArg arg;
  if (json.is_object() && json.find("tensor_map")) {
    return read_tensor_map(json);
  }
  if (json.is_object() && json.find("tensor")) {
    return Fields(json, {"tensor"}).need("tensor", arg.name).done(arg);
  }
  if (json.is_object() && json.find("workspace")) {
    arg.kind = ArgKind::workspace;
    Fields fields(json, {"workspace", "offset"});
    fields.need("workspace", arg.name).maybe("offset", arg.value);
    return fields.done(arg);
  }
  if (json.is_object() && json.find("dim")) {
    arg.kind = ArgKind::dim;
    return Fields(json, {"dim"}).need("dim", arg.value).done(arg);
  }
  if (json.is_object() && json.find("scalar")) {
    arg.kind = ArgKind::scalar;
    return Fields(json, {"scalar"}).need("scalar", arg.value).done(arg);
  }
  return json.error("an argument: an object with tensor, workspace, dim, scalar or tensor_map");
}

Json step_json(const PlanStep& step) {
  Json json = Json::object();
  if (step.when) {
    json.set("when", to_json(*step.when));
  }
  set_if(json, "prepare", step.prepare, true);
  if (step.kind == StepKind::fill) {
    return json.set("fill", step.target).set("byte", step.byte);
  }
  json.set("kernel", step.entry)
      .set("grid", triple(step.grid, "1"))
      .set("args", Json::array_of(step.args, arg_json));
  const Json block = triple(step.block, "1");
  const Json cluster = triple(step.cluster, "0");
  set_if(json, "block", !block.empty(), block);
  set_if(json, "cluster", !cluster.empty(), cluster);
  set_if(json, "shared_bytes", step.shared_bytes.text() != "0", to_json(step.shared_bytes));
  set_if(json, "cooperative", step.cooperative, true);
  set_if(json, "dependent", step.dependent, true);
  return json;
}

Result<PlanStep> read_fill(const JsonReader& json) {
  PlanStep step;
  step.kind = StepKind::fill;
  Fields fields(json, {"fill", "byte", "when", "prepare"});
  fields.need("fill", step.target)
      .need("byte", step.byte)
      .maybe("when", step.when)
      .maybe("prepare", step.prepare);
  COPPICE_TRY(step, fields.done(step));
  if (step.byte < 0 || step.byte > 255) {
    COPPICE_TRY(const JsonReader byte, json.at("byte"));
    return byte.error("a byte, 0 to 255");
  }
  return step;
}

Result<PlanStep> read_step(const JsonReader& json) {
  if (!json.is_object() || (!json.find("kernel") && !json.find("fill"))) {
    return json.error("a step: an object with kernel or fill");
  }
  if (json.find("fill")) {
    return read_fill(json);
  }
  PlanStep step;
  Fields fields(json,
                {"kernel",
                 "grid",
                 "block",
                 "cluster",
                 "shared_bytes",
                 "cooperative",
                 "dependent",
                 "prepare",
                 "args",
                 "when"});
  fields.need("kernel", step.entry)
      .maybe("shared_bytes", step.shared_bytes)
      .maybe("cooperative", step.cooperative)
      .maybe("dependent", step.dependent)
      .maybe("prepare", step.prepare)
      .maybe("when", step.when);
  COPPICE_TRY(step, fields.done(std::move(step)));
  COPPICE_TRY_VOID(read_triple(json, "grid", step.grid));
  COPPICE_TRY_VOID(read_triple(json, "block", step.block));
  COPPICE_TRY_VOID(read_triple(json, "cluster", step.cluster));
  COPPICE_TRY(const JsonReader args, json.at("args"));
  COPPICE_TRY(const std::vector<JsonReader> items, args.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(PlanArg arg, read_arg(item));
    step.args.push_back(std::move(arg));
  }
  return step;
}

}  // namespace

Json to_json(const LaunchPlan& plan) {
  Json json = Json::object();
  Json defines = Json::object();
  for (const auto& [name, expression] : plan.defines) {
    defines.set(name, to_json(expression));
  }
  set_if(json, "defines", !defines.empty(), defines);
  set_if(json, "threads", plan.threads.text() != "0", to_json(plan.threads));
  set_if(json, "claims", !plan.claims.empty(), array_of_exprs(plan.claims));
  set_if(json,
         "workspace",
         !plan.workspace.empty(),
         Json::array_of(plan.workspace, [](const WorkspaceSlice& slice) {
           return Json::object().set("name", slice.name).set("bytes", to_json(slice.bytes));
         }));
  return json.set("steps", Json::array_of(plan.steps, step_json));
}

Result<LaunchPlan> launch_plan(const JsonReader& json) {
  LaunchPlan plan;
  Fields fields(json, {"defines", "threads", "claims", "workspace", "steps"});
  fields.maybe("defines", plan.defines).maybe("threads", plan.threads).maybe("claims", plan.claims);
  COPPICE_TRY(plan, fields.done(std::move(plan)));
  if (const auto workspace = json.find("workspace")) {
    COPPICE_TRY(const std::vector<JsonReader> slices, workspace->items());
    for (const JsonReader& item : slices) {
      WorkspaceSlice slice;
      Fields parts(item, {"name", "bytes"});
      parts.need("name", slice.name).need("bytes", slice.bytes);
      COPPICE_TRY(slice, parts.done(std::move(slice)));
      plan.workspace.push_back(std::move(slice));
    }
  }
  COPPICE_TRY(const JsonReader steps, json.at("steps"));
  COPPICE_TRY(const std::vector<JsonReader> items, steps.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(PlanStep step, read_step(item));
    plan.steps.push_back(std::move(step));
  }
  return plan;
}

}  // namespace coppice
