// Resolving a candidate for the workloads of a suite: claims, hard rules, defines, plans.

#include "evaluators/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace coppice::evaluators {
namespace {

Verdict refuse_plan(FailureClass failure, std::string message) {
  return Verdict{false, Gate::resources, failure, std::move(message)};
}

std::string upper(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out.push_back(std::isalnum(static_cast<unsigned char>(c)) != 0
                      ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
                      : '_');
  }
  return out;
}

// Nothing: the workload is claimed. Otherwise the claim that it breaks.
std::optional<Verdict> unclaimed(const LaunchPlan& plan,
                                 const ValueMap& values,
                                 const std::string& workload) {
  for (const Expr& claim : plan.claims) {
    const Result<bool> holds = claim.truth(values);
    if (!holds.ok()) {
      return refuse_plan(
          FailureClass::plan_invalid,
          fmt::format("{}: claim '{}': {}", workload, claim.text(), holds.error().message));
    }
    if (!*holds) {
      return refuse_plan(FailureClass::not_claimed,
                         fmt::format("{}: outside the claim '{}'", workload, claim.text()));
    }
  }
  return std::nullopt;
}

void add_triple(ValueMap& values, const char* name, const std::array<std::int64_t, 3>& triple) {
  const char* axes[] = {".x", ".y", ".z"};
  for (std::size_t i = 0; i < 3; ++i) {
    values.insert_or_assign(std::string(name) + axes[i], Value(triple[i]));
  }
}

std::optional<Verdict> broken_rule(const HardRule& rule,
                                   const ValueMap& values,
                                   const std::string& where) {
  const Result<bool> holds = rule.holds.truth(values);
  if (!holds.ok()) {
    return refuse_plan(FailureClass::plan_invalid,
                       fmt::format("{}: rule {}: {}", where, rule.name, holds.error().message));
  }
  if (!*holds) {
    return refuse_plan(FailureClass::plan_invalid,
                       fmt::format("{}: breaks rule {}: {}", where, rule.name, rule.holds.text()));
  }
  return std::nullopt;
}

std::optional<Verdict> broken_rules(const Target& target,
                                    const ResolvedPlan& plan,
                                    const ValueMap& values,
                                    const std::string& workload) {
  for (const HardRule& rule : target.rules) {
    if (rule.applies != "step") {
      if (auto broken = broken_rule(rule, values, workload)) {
        return broken;
      }
      continue;
    }
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      const ResolvedStep& step = plan.steps[i];
      if (step.kind != StepKind::kernel) {
        continue;
      }
      ValueMap with_step = values;
      add_triple(with_step, "grid", step.grid);
      add_triple(with_step, "block", step.block);
      add_triple(with_step, "cluster", step.cluster);
      with_step.insert_or_assign("shared_bytes", Value(step.shared_bytes));
      with_step.insert_or_assign("threads", Value(plan.threads));
      with_step.insert_or_assign("cooperative", Value(step.cooperative));
      const std::string where = fmt::format("{}: step {} ({})", workload, i, step.entry);
      if (auto broken = broken_rule(rule, with_step, where)) {
        return broken;
      }
    }
  }
  return std::nullopt;
}

std::size_t job_for(std::vector<CompileJob>& jobs, CompileJob job) {
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (jobs[i].source == job.source) {
      return i;
    }
  }
  jobs.push_back(std::move(job));
  return jobs.size() - 1;
}

// Adds one workload; a refusal ends the preparation, except that hidden ones may be unclaimed.
std::optional<Verdict> add_workload(const Candidate& candidate,
                                    const PrepareContext& context,
                                    const Workload& workload,
                                    bool hidden,
                                    Prepared& out) {
  const ValueMap values = plan_values(candidate, context, workload);
  if (auto outside = unclaimed(candidate.plan, values, workload.name)) {
    return hidden && outside->failure == FailureClass::not_claimed ? std::nullopt : outside;
  }
  Result<ResolvedPlan> plan = resolve(candidate.plan, values, context.op.scalars);
  if (!plan.ok()) {
    return refuse_plan(FailureClass::plan_invalid,
                       fmt::format("{}: {}", workload.name, plan.error().message));
  }
  if (context.target != nullptr) {
    if (auto broken = broken_rules(*context.target, *plan, values, workload.name)) {
      return broken;
    }
  }
  CompileJob job;
  job.source_name = candidate.source_name;
  job.source =
      source_prefix(plan->defines, context.suite.types, candidate.source_name) + candidate.source;
  job.flags = candidate.flags;
  job.headers = op_headers(context.op);
  const std::size_t index = job_for(out.jobs, std::move(job));
  out.workloads.push_back({workload.name, hidden, std::move(*plan), index});
  return std::nullopt;
}

}  // namespace

std::string source_prefix(const std::map<std::string, std::string, std::less<>>& defines,
                          const std::map<std::string, std::string, std::less<>>& types,
                          const std::string& source_name) {
  std::string out;
  for (const auto& [name, type] : types) {
    out += fmt::format("#define {}_{} 1\n", upper(name), upper(type));
  }
  for (const auto& [name, text] : defines) {
    out += fmt::format("#define {} {}\n", name, text);
  }
  return out + fmt::format("#line 1 \"{}\"\n", source_name);
}

ValueMap plan_values(const Candidate& candidate,
                     const PrepareContext& context,
                     const Workload& workload) {
  ValueMap values = workload_values(context.op, context.suite, workload);
  for (const auto& [name, type] : context.suite.types) {
    values.insert_or_assign(name, Value(type));
  }
  if (context.target != nullptr) {
    for (const auto& [name, fact] : context.target->facts) {
      values.insert_or_assign("target." + name, fact);
    }
  }
  if (const auto scalars = context.host_scalars.find(workload.name);
      scalars != context.host_scalars.end()) {
    for (const auto& [name, value] : scalars->second) {
      values.insert_or_assign(name, value);
    }
  }
  for (const auto& [name, value] : candidate.axis_values) {
    values.insert_or_assign(name, value);
  }
  return values;
}

std::map<std::string, std::string, std::less<>> op_headers(const Op& op) {
  constexpr std::string_view kFolder = "include/";
  std::map<std::string, std::string, std::less<>> out;
  for (const auto& [path, text] : op.files) {
    if (path.compare(0, kFolder.size(), kFolder) == 0) {
      out.emplace(path.substr(kFolder.size()), text);
    }
  }
  return out;
}

std::vector<std::string> op_header_names(const Op& op) {
  std::vector<std::string> out;
  for (const auto& [name, text] : op_headers(op)) {
    out.push_back(name);
  }
  return out;
}

Prepared prepare(const Candidate& candidate, const PrepareContext& context) {
  Prepared out;
  const auto wanted = [&](const std::string& name) {
    return context.only.empty() ||
           std::find(context.only.begin(), context.only.end(), name) != context.only.end();
  };
  for (const bool hidden : {false, true}) {
    for (const Workload& workload : hidden ? context.suite.hidden : context.suite.workloads) {
      if (!hidden && !wanted(workload.name)) {
        continue;
      }
      if (auto refused = add_workload(candidate, context, workload, hidden, out)) {
        Prepared no;
        no.refused = std::move(refused);
        return no;
      }
    }
  }
  return out;
}

}  // namespace coppice::evaluators
