// Fills a launch plan in with numbers, naming step, field, expression and value when it can't.
#include "core/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

namespace coppice {
namespace {

constexpr std::int64_t kWorkspaceAlignment = 256;
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

// Evaluates expressions with a name for each place, and notes the use of host scalars.
class Resolver {
 public:
  Resolver(const ValueMap& values, const std::vector<std::string>& host_scalars)
      : values_(values), host_scalars_(host_scalars.begin(), host_scalars.end()) {}

  Result<std::int64_t> whole(const Expr& expression,
                             const std::string& place,
                             std::int64_t low,
                             std::int64_t high) {
    note(expression);
    auto value = expression.integer(values_);
    if (!value.ok()) {
      return value.error().within(place);
    }
    if (*value < low || *value > high) {
      return Error{ErrorCode::config,
                   fmt::format("{}: expected a whole number in [{}, {}], found {} = {}",
                               place,
                               low,
                               high,
                               expression.text(),
                               *value)};
    }
    return value;
  }

  Result<double> real(const Expr& expression, const std::string& place) {
    note(expression);
    return expression.real(values_).within(place);
  }

  Result<bool> truth(const Expr& expression, const std::string& place) {
    note(expression);
    return expression.truth(values_).within(place);
  }

  Result<std::string> text(const Expr& expression, const std::string& place) {
    note(expression);
    auto value = expression.evaluate(values_);
    if (!value.ok()) {
      return value.error().within(place);
    }
    if (const bool* flag = std::get_if<bool>(&*value)) {
      return std::string(*flag ? "1" : "0");
    }
    return to_text(*value);
  }

  bool graph_safe() const { return graph_safe_; }

 private:
  void note(const Expr& expression) {
    for (const std::string& name : expression.names()) {
      graph_safe_ = graph_safe_ && !host_scalars_.contains(name);
    }
  }

  const ValueMap& values_;
  std::set<std::string, std::less<>> host_scalars_;
  bool graph_safe_ = true;
};

using Workspace = std::vector<std::pair<std::string, std::int64_t>>;

Result<Workspace> resolve_workspace(const LaunchPlan& plan, Resolver& resolver) {
  Workspace out;
  for (const WorkspaceSlice& slice : plan.workspace) {
    const std::string place = "workspace " + slice.name;
    COPPICE_TRY(const std::int64_t bytes,
                resolver.whole(slice.bytes, place, 0, kMost - kWorkspaceAlignment));
    if (std::any_of(out.begin(), out.end(), [&](const auto& s) { return s.first == slice.name; })) {
      return Error{ErrorCode::config, place + ": expected distinct names, found it twice"};
    }
    out.emplace_back(slice.name,
                     (bytes + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment);
  }
  return out;
}

Result<std::vector<std::int64_t>> resolve_all(const std::vector<Expr>& expressions,
                                              const std::string& place,
                                              Resolver& resolver) {
  std::vector<std::int64_t> out;
  for (const Expr& expression : expressions) {
    COPPICE_TRY(const std::int64_t value, resolver.whole(expression, place, 1, kMost));
    out.push_back(value);
  }
  return out;
}

Result<ResolvedTensorMap> resolve_map(const PlanArg& arg,
                                      const std::string& place,
                                      Resolver& resolver) {
  ResolvedTensorMap out;
  if (!arg.map) {
    return Error{ErrorCode::config, place + ": expected a tensor map, found none"};
  }
  const TensorMapSpec& spec = *arg.map;
  out.tensor = arg.name;
  out.dtype = spec.dtype;
  COPPICE_TRY(out.sizes, resolve_all(spec.sizes, place + " sizes", resolver));
  COPPICE_TRY(out.stride_bytes, resolve_all(spec.stride_bytes, place + " stride_bytes", resolver));
  COPPICE_TRY(out.box, resolve_all(spec.box, place + " box", resolver));
  out.swizzle = spec.swizzle;
  out.l2_promotion = spec.l2_promotion;
  return out;
}

Result<ResolvedArg> resolve_arg(const PlanArg& arg,
                                const std::string& place,
                                const Workspace& workspace,
                                Resolver& resolver) {
  ResolvedArg out;
  out.kind = arg.kind;
  out.name = arg.name;
  switch (arg.kind) {
    case ArgKind::tensor:
      return out;
    case ArgKind::workspace: {
      const auto slice = std::find_if(
          workspace.begin(), workspace.end(), [&](const auto& s) { return s.first == arg.name; });
      if (slice == workspace.end()) {
        return Error{ErrorCode::config,
                     place + ": expected a workspace of the plan, found \"" + arg.name + "\""};
      }
      COPPICE_TRY(out.integer, resolver.whole(arg.value, place + " offset", 0, slice->second));
      return out;
    }
    case ArgKind::dim: {
      COPPICE_TRY(out.integer, resolver.whole(arg.value, place, -kMost, kMost));
      return out;
    }
    case ArgKind::scalar: {
      COPPICE_TRY(out.real, resolver.real(arg.value, place));
      return out;
    }
    case ArgKind::tensor_map: {
      COPPICE_TRY(out.map, resolve_map(arg, place, resolver));
      return out;
    }
  }
  COPPICE_UNREACHABLE();
}

Result<void> resolve_triple(const std::array<Expr, 3>& expressions,
                            const std::string& place,
                            std::int64_t low,
                            Resolver& resolver,
                            std::array<std::int64_t, 3>& out) {
  // A grid has at most 2^31 - 1 blocks along x; finer limits are the target's rules.
  constexpr std::int64_t kMostBlocks = 2147483647;
  for (std::size_t i = 0; i < 3; ++i) {
    COPPICE_TRY(out[i],
                resolver.whole(expressions[i], fmt::format("{}[{}]", place, i), low, kMostBlocks));
  }
  return {};
}

Result<ResolvedStep> resolve_step(const PlanStep& step,
                                  const std::string& place,
                                  const Workspace& workspace,
                                  Resolver& resolver) {
  ResolvedStep out;
  out.kind = step.kind;
  out.prepare = step.prepare;
  if (step.kind == StepKind::fill) {
    out.target = step.target;
    out.byte = step.byte;
    return out;
  }
  out.entry = step.entry;
  out.cooperative = step.cooperative;
  out.dependent = step.dependent;
  COPPICE_TRY_VOID(resolve_triple(step.grid, place + " grid", 1, resolver, out.grid));
  COPPICE_TRY_VOID(resolve_triple(step.block, place + " block", 1, resolver, out.block));
  COPPICE_TRY_VOID(resolve_triple(step.cluster, place + " cluster", 0, resolver, out.cluster));
  COPPICE_TRY(out.shared_bytes,
              resolver.whole(step.shared_bytes, place + " shared_bytes", 0, kMost));
  for (std::size_t i = 0; i < step.args.size(); ++i) {
    COPPICE_TRY(
        ResolvedArg arg,
        resolve_arg(step.args[i], fmt::format("{} args[{}]", place, i), workspace, resolver));
    out.args.push_back(std::move(arg));
  }
  return out;
}

auto key(const ResolvedTensorMap& m) {
  return std::tie(m.tensor, m.dtype, m.sizes, m.stride_bytes, m.box, m.swizzle, m.l2_promotion);
}

bool same(const ResolvedArg& a, const ResolvedArg& b) {
  if (a.map.has_value() != b.map.has_value() || (a.map && key(*a.map) != key(*b.map))) {
    return false;
  }
  return std::tie(a.kind, a.name, a.integer, a.real) == std::tie(b.kind, b.name, b.integer, b.real);
}

auto key(const ResolvedStep& s) {
  return std::tie(s.kind,
                  s.prepare,
                  s.entry,
                  s.grid,
                  s.block,
                  s.cluster,
                  s.shared_bytes,
                  s.cooperative,
                  s.dependent,
                  s.target,
                  s.byte);
}

bool same(const ResolvedStep& a, const ResolvedStep& b) {
  return key(a) == key(b) &&
         std::equal(a.args.begin(),
                    a.args.end(),
                    b.args.begin(),
                    b.args.end(),
                    [](const ResolvedArg& x, const ResolvedArg& y) { return same(x, y); });
}

}  // namespace

bool operator==(const ResolvedPlan& a, const ResolvedPlan& b) {
  return std::tie(a.workspace, a.defines, a.threads, a.graph_safe) ==
             std::tie(b.workspace, b.defines, b.threads, b.graph_safe) &&
         std::equal(a.steps.begin(),
                    a.steps.end(),
                    b.steps.begin(),
                    b.steps.end(),
                    [](const ResolvedStep& x, const ResolvedStep& y) { return same(x, y); });
}

Result<ResolvedPlan> resolve(const LaunchPlan& plan,
                             const ValueMap& values,
                             const std::vector<std::string>& host_scalars) {
  Resolver resolver(values, host_scalars);
  ResolvedPlan out;
  COPPICE_TRY(out.workspace, resolve_workspace(plan, resolver));
  for (const auto& [name, expression] : plan.defines) {
    COPPICE_TRY(out.defines[name], resolver.text(expression, "define " + name));
  }
  COPPICE_TRY(out.threads, resolver.whole(plan.threads, "threads", 0, 65536));
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const PlanStep& step = plan.steps[i];
    const std::string place =
        fmt::format("step {} ({})", i, step.kind == StepKind::fill ? "fill" : step.entry);
    if (step.when) {
      COPPICE_TRY(const bool wanted, resolver.truth(*step.when, place + " when"));
      if (!wanted) {
        continue;
      }
    }
    COPPICE_TRY(ResolvedStep resolved, resolve_step(step, place, out.workspace, resolver));
    out.steps.push_back(std::move(resolved));
  }
  out.graph_safe = resolver.graph_safe();
  return out;
}

Result<std::optional<std::string>> unclaimed(const LaunchPlan& plan, const ValueMap& values) {
  for (const Expr& claim : plan.claims) {
    COPPICE_TRY(const bool holds, claim.truth(values).within("claims"));
    if (!holds) {
      return std::optional<std::string>(claim.text());
    }
  }
  return std::optional<std::string>();
}

}  // namespace coppice
