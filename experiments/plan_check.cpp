// What a plan names must exist: tensors and workspace by name, kernels in the source.
#include "experiments/plan_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

namespace coppice::experiments {
namespace {

std::string strip_comments(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "//") {
      i = std::min(text.find('\n', i), text.size() - 1);
    } else if (text.substr(i, 2) == "/*") {
      i = std::min(text.find("*/", i + 2), text.size() - 2) + 1;
    }
    out.push_back(text[i]);
  }
  return out;
}

class PlanChecker {
 public:
  PlanChecker(const LaunchPlan& plan, const PlanContext& context, Findings& findings)
      : plan_(plan), context_(context), findings_(findings) {
    for (const TensorSpec& tensor : context.op->tensors) {
      tensors_.insert(tensor.name);
    }
    for (const WorkspaceSlice& slice : plan.workspace) {
      slices_.insert(slice.name);
    }
  }

  void run() {
    check_head();
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      check_step(plan_.steps[i], fmt::format("{}/steps/{}", context_.place, i));
    }
    if (plan_.steps.empty()) {
      findings_.add(context_.place + "/steps", "expected at least one step");
      return;
    }
    for (const TensorSpec& tensor : context_.op->tensors) {
      if (!context_.may_leave_out && tensor.role == TensorRole::output &&
          !written_.contains(tensor.name)) {
        findings_.add(context_.place + "/steps",
                      fmt::format("no step has the output '{}' as argument", tensor.name));
      }
    }
  }

 private:
  void names(const Expr& expression, const std::string& place) {
    context_.scope.check(expression, place, findings_);
  }

  void check_head() {
    std::set<std::string, std::less<>> seen;
    for (std::size_t i = 0; i < plan_.workspace.size(); ++i) {
      const WorkspaceSlice& slice = plan_.workspace[i];
      const std::string place = fmt::format("{}/workspace/{}", context_.place, i);
      if (!seen.insert(slice.name).second) {
        findings_.add(place, fmt::format("'{}' is declared twice", slice.name));
      }
      if (tensors_.contains(slice.name)) {
        findings_.add(place, fmt::format("'{}' is the name of a tensor", slice.name));
      }
      names(slice.bytes, place + "/bytes");
    }
    for (const auto& [name, value] : plan_.defines) {
      if (!is_identifier(name)) {
        findings_.add(context_.place + "/defines", fmt::format("'{}' is not a macro name", name));
      }
      names(value, context_.place + "/defines/" + name);
      for (const std::string& used : value.names()) {
        if (is_scalar(used)) {
          findings_.add(context_.place + "/defines/" + name,
                        fmt::format("'{}' is known only at run time", used));
        }
      }
    }
    names(plan_.threads, context_.place + "/threads");
    for (std::size_t i = 0; i < plan_.claims.size(); ++i) {
      names(plan_.claims[i], fmt::format("{}/claims/{}", context_.place, i));
    }
  }

  bool is_scalar(std::string_view name) const {
    return std::ranges::find(context_.op->scalars, name) != context_.op->scalars.end();
  }

  void check_step(const PlanStep& step, const std::string& place) {
    if (step.when.has_value()) {
      names(*step.when, place + "/when");
    }
    if (step.kind == StepKind::fill) {
      check_fill(step, place);
      return;
    }
    for (std::size_t i = 0; i < 3; ++i) {
      names(step.grid[i], place + "/grid");
      names(step.block[i], place + "/block");
      names(step.cluster[i], place + "/cluster");
    }
    names(step.shared_bytes, place + "/shared_bytes");
    if (!mentions(context_.source, step.entry)) {
      findings_.add(place + "/kernel",
                    fmt::format("{} defines no kernel '{}'", context_.source_name, step.entry));
    }
    for (std::size_t i = 0; i < step.args.size(); ++i) {
      check_arg(step, step.args[i], fmt::format("{}/args/{}", place, i));
    }
  }

  void check_fill(const PlanStep& step, const std::string& place) {
    const auto tensor = std::ranges::find(context_.op->tensors, step.target, &TensorSpec::name);
    const bool output = tensor != context_.op->tensors.end() && tensor->role == TensorRole::output;
    if (!output && !slices_.contains(step.target)) {
      findings_.add(place + "/fill",
                    fmt::format("'{}' is neither an output nor workspace", step.target));
    }
    written_.insert(step.target);
  }

  void check_arg(const PlanStep& step, const PlanArg& arg, const std::string& place) {
    names(arg.value, place);
    if (arg.kind == ArgKind::workspace) {
      require(slices_, arg.name, "workspace", place);
    } else if (arg.kind == ArgKind::tensor || arg.kind == ArgKind::tensor_map) {
      require(tensors_, arg.name, "tensor", place);
      written_.insert(arg.name);
      const auto tensor = std::ranges::find(context_.op->tensors, arg.name, &TensorSpec::name);
      if (step.prepare && tensor != context_.op->tensors.end() &&
          tensor->role != TensorRole::structure) {
        findings_.add(
            place,
            fmt::format("a prepare step may use structure tensors only, found '{}'", arg.name));
      }
    }
    if (arg.map.has_value()) {
      check_map(*arg.map, place);
    }
  }

  void check_map(const TensorMapSpec& map, const std::string& place) {
    for (const std::vector<Expr>* list : {&map.sizes, &map.stride_bytes, &map.box}) {
      for (const Expr& expression : *list) {
        names(expression, place);
      }
    }
  }

  void require(const std::set<std::string, std::less<>>& known,
               const std::string& name,
               std::string_view what,
               const std::string& place) {
    if (!known.contains(name)) {
      const std::string close = nearest(name, known);
      findings_.add(place,
                    fmt::format("unknown {} '{}'{}",
                                what,
                                name,
                                close.empty() ? "" : fmt::format("; nearest is '{}'", close)));
    }
  }

  const LaunchPlan& plan_;
  const PlanContext& context_;
  Findings& findings_;
  std::set<std::string, std::less<>> tensors_, slices_, written_;
};

}  // namespace

bool mentions(std::string_view text, std::string_view word) {
  const auto part = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  const std::string code = strip_comments(text);
  for (std::size_t at = code.find(word); at != std::string::npos; at = code.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !part(code[at - 1])) && (end == code.size() || !part(code[end]))) {
      return !word.empty();
    }
  }
  return false;
}

void check_plan(const LaunchPlan& plan, const PlanContext& context, Findings& findings) {
  PlanChecker(plan, context, findings).run();
}

}  // namespace coppice::experiments
