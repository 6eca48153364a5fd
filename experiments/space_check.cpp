// Does a template's space have something to search in each suite that it can serve?
#include "core/op_shapes.h"
#include "experiments/axis_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace coppice::experiments {
namespace {

constexpr std::uint64_t kMostCombinations = 200'000;

bool needs_target(const Expr& expression) {
  return std::ranges::any_of(expression.names(),
                             [](const std::string& name) { return name.starts_with("target."); });
}

// Axes that the expression names, as indices.
std::vector<std::size_t> axes_in(const Expr& expression, const std::vector<Axis>& axes) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (std::ranges::find(expression.names(), axes[i].name) != expression.names().end()) {
      out.push_back(i);
    }
  }
  return out;
}

// Calls visit(values) for each combination of the given axes' levels until it returns false.
// Returns false when there are too many to look at.
template <class Visit>
bool each_combination(const std::vector<Axis>& axes,
                      const std::vector<std::size_t>& chosen,
                      ValueMap values,
                      Visit visit) {
  std::uint64_t count = 1;
  for (const std::size_t i : chosen) {
    count *= axes[i].levels.size();
    if (count > kMostCombinations) {
      return false;
    }
  }
  for (std::uint64_t n = 0; n < count; ++n) {
    std::uint64_t rest = n;
    for (const std::size_t i : chosen) {
      values.insert_or_assign(axes[i].name, axes[i].levels[rest % axes[i].levels.size()]);
      rest /= axes[i].levels.size();
    }
    if (!visit(values)) {
      return true;
    }
  }
  return true;
}

class SpaceChecker {
 public:
  SpaceChecker(const JsonReader& json, const Op& op, const Template& part, Findings& findings)
      : json_(json), op_(op), part_(part), findings_(findings) {}

  void run() {
    check_classes();
    bool served = false;
    for (const Suite& suite : op_.suites) {
      const auto serves = [&](const Workload& w) {
        return claims(suite, w);
      };
      if (!std::ranges::all_of(suite.workloads, serves)) {
        continue;
      }
      served = true;
      for (const Workload& workload : suite.workloads) {
        const std::size_t before = findings_.count();
        for (std::size_t i = 0; i < part_.restrictions.size(); ++i) {
          check_restriction(suite, workload, i);
        }
        if (findings_.count() != before) {
          return;  // the other workloads would say the same again
        }
      }
    }
    if (!served && !op_.suites.empty()) {
      findings_.add(json_.complain("claims no suite of this op"));
    }
  }

 private:
  // False where a claim, or a restriction that no axis can satisfy, says "not for this shape".
  bool claims(const Suite& suite, const Workload& workload) const {
    const ValueMap values = defaults(suite, workload);
    const auto refuses = [&](const Expr& expression) {
      if (needs_target(expression)) {
        return false;
      }
      const Result<bool> holds = expression.truth(values);
      return holds.ok() && !*holds;
    };
    const auto fixed = [&](const Expr& expression) {
      return axes_in(expression, part_.axes).empty() && refuses(expression);
    };
    return std::ranges::none_of(part_.plan.claims, refuses) &&
           std::ranges::none_of(part_.restrictions, fixed);
  }

  ValueMap defaults(const Suite& suite, const Workload& workload) const {
    ValueMap values = workload_values(op_, suite, workload);
    for (const Axis& axis : part_.axes) {
      values.insert_or_assign(axis.name, axis.levels[axis.default_level]);
    }
    return values;
  }

  void check_restriction(const Suite& suite, const Workload& workload, std::size_t index) {
    const Expr& restriction = part_.restrictions[index];
    const std::string where = fmt::format("restrictions/{}: '{}' in suite '{}', workload '{}'",
                                          index,
                                          restriction.text(),
                                          suite.name,
                                          workload.name);
    if (needs_target(restriction)) {
      return;
    }
    const ValueMap values = defaults(suite, workload);
    const Result<bool> at_default = restriction.truth(values);
    if (at_default.ok() && *at_default) {
      return;
    }
    const std::vector<std::size_t> chosen = axes_in(restriction, part_.axes);
    bool possible = false;
    std::string problem;
    const bool looked = each_combination(part_.axes, chosen, values, [&](const ValueMap& v) {
      const Result<bool> holds = restriction.truth(v);
      if (!holds.ok()) {
        problem = holds.error().message;
      }
      possible = holds.ok() && *holds;
      return !possible;
    });
    if (looked && !possible) {
      report_impossible(where, chosen, problem);
    } else {
      report(where, fmt::format("the default genome breaks it ({})", describe(values, chosen)));
    }
  }

  void report_impossible(const std::string& where,
                         const std::vector<std::size_t>& chosen,
                         const std::string& problem) {
    if (!problem.empty()) {
      report(where, problem);
    } else if (chosen.size() == 1) {
      report(where, fmt::format("axis '{}' has no valid level", part_.axes[chosen[0]].name));
    } else {
      report(where, "no combination of levels satisfies it");
    }
  }

  std::string describe(const ValueMap& values, const std::vector<std::size_t>& chosen) const {
    std::vector<std::string> parts;
    parts.reserve(chosen.size());
    for (const std::size_t i : chosen) {
      parts.push_back(part_.axes[i].name + "=" + to_text(values.find(part_.axes[i].name)->second));
    }
    return fmt::format("{}", fmt::join(parts, " "));
  }

  void report(const std::string& where, const std::string& message) {
    findings_.add(json_.place() + where, message);  // the place of a whole file ends with its slash
  }

  // Each class that `precision` can name must be declared.
  void check_classes() {
    if (!part_.precision.has_value() || op_.suites.empty()) {
      return;
    }
    std::set<std::string> unknown;
    for (const Suite& suite : op_.suites) {
      if (suite.workloads.empty()) {
        continue;
      }
      each_combination(
          part_.axes,
          axes_in(*part_.precision, part_.axes),
          defaults(suite, suite.workloads.front()),
          [&](const ValueMap& values) {
            if (needs_target(*part_.precision)) {
              return false;
            }
            const Result<Value> name = part_.precision->evaluate(values);
            if (!name.ok()) {
              unknown.insert(name.error().message);
            } else if (op_.precision_class(to_text(*name)) == nullptr) {
              unknown.insert(
                  fmt::format("gives '{}', which is no precision class of the op", to_text(*name)));
            }
            return true;
          });
    }
    for (const std::string& message : unknown) {
      report("precision", fmt::format("'{}' {}", part_.precision->text(), message));
    }
  }

  const JsonReader& json_;
  const Op& op_;
  const Template& part_;
  Findings& findings_;
};

}  // namespace

void check_space(const JsonReader& json, const Op& op, const Template& part, Findings& findings) {
  SpaceChecker(json, op, part, findings).run();
}

}  // namespace coppice::experiments
