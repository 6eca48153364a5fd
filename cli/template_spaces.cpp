// Makes axis spaces from templates: facts of target and suite filled in, restrictions for each
// workload.
#include "cli/template_spaces.h"

#include "core/op_shapes.h"
#include "core/random.h"
#include "core/space_walk.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>

namespace coppice::cli {
namespace {

ValueMap facts_of(const Target& target) {
  ValueMap facts;
  for (const auto& [name, value] : target.facts) {
    facts["target." + name] = value;
  }
  for (const std::string& feature : target.features) {
    facts["target." + feature] = true;
  }
  return facts;
}

// A name that looks like a feature and that the target does not list is one it does not have.
void add_absent_features(const Expr& expression, ValueMap& facts) {
  for (const std::string& name : expression.names()) {
    if (name.rfind("target.", 0) == 0 && facts.find(name) == facts.end()) {
      facts[name] = false;
    }
  }
}

std::string literal(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return "'" + *text + "'";
  }
  if (const auto* flag = std::get_if<bool>(&value)) {
    return *flag ? "True" : "False";
  }
  return "(" + coppice::to_text(value) + ")";
}

bool starts_name(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_';
}
bool continues_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
}

class Builder {
 public:
  Builder(const Op& op, const Suite& suite, const Target& target, const Template& source)
      : op_(op), suite_(suite), source_(source), facts_(facts_of(target)) {
    for (const Expr& restriction : source.restrictions) {
      add_absent_features(restriction, facts_);
    }
    for (const Axis& axis : source.axes) {
      if (axis.when) {
        add_absent_features(*axis.when, facts_);
      }
    }
    for (const Expr& claim : source.plan.claims) {
      add_absent_features(claim, facts_);
    }
    for (const auto& [name, feature] : source.features) {
      add_absent_features(feature, facts_);
    }
    if (source.precision) {
      add_absent_features(*source.precision, facts_);
    }
    read_workloads();
  }

  // Why the template can't serve this suite on this target; empty when it can.
  Result<std::string> objection() const {
    for (std::size_t i = 0; i < suite_.workloads.size(); ++i) {
      const auto refuses = [&](const Expr& expression) -> Result<bool> {
        COPPICE_TRY(const bool holds, expression.truth(with_defaults(per_workload_[i])));
        return !holds;
      };
      for (const Expr& claim : source_.plan.claims) {
        COPPICE_TRY(const bool refused, refuses(claim).within("claim"));
        if (refused) {
          return "does not claim workload " + suite_.workloads[i].name + " (" + claim.text() + ")";
        }
      }
      for (const Expr& restriction : source_.restrictions) {
        if (names_axis(restriction)) {
          continue;
        }
        COPPICE_TRY(const bool refused, refuses(restriction).within("restriction"));
        if (refused) {
          return "needs " + restriction.text() + " (workload " + suite_.workloads[i].name + ")";
        }
      }
    }
    return std::string();
  }

  Result<TemplateSpace> build() const {
    COPPICE_TRY(const std::vector<Expr> restrictions, restrictions_of_all());
    TemplateSpace out;
    out.name = source_.name;
    out.precision = source_.precision;
    out.features = source_.features;
    out.feature_values = per_workload_.empty() ? facts_ : per_workload_.front();
    COPPICE_TRY(out.space, AxisSpace::create(source_.axes, restrictions, common_));
    return move_default(std::move(out), restrictions);
  }

 private:
  void read_workloads() {
    for (const Workload& workload : suite_.workloads) {
      ValueMap values = workload_values(op_, suite_, workload);
      values.insert(facts_.begin(), facts_.end());
      per_workload_.push_back(std::move(values));
    }
    common_ = per_workload_.empty() ? facts_ : per_workload_.front();
    for (const ValueMap& values : per_workload_) {
      std::erase_if(common_, [&](const auto& item) {
        const auto found = values.find(item.first);
        return found == values.end() || found->second != item.second;
      });
    }
  }

  bool names_axis(const Expr& expression) const {
    return std::ranges::any_of(expression.names(), [&](const std::string& name) {
      return std::ranges::any_of(source_.axes, [&](const Axis& axis) { return axis.name == name; });
    });
  }

  ValueMap with_defaults(ValueMap values) const {
    for (const Axis& axis : source_.axes) {
      values.insert_or_assign(axis.name, axis.levels[axis.default_level]);
    }
    return values;
  }

  // Once for each workload, with the dims that differ between workloads filled in.
  Result<std::vector<Expr>> restrictions_of_all() const {
    std::vector<Expr> out;
    std::set<std::string> seen;
    for (const ValueMap& values : per_workload_) {
      ValueMap differing = values;
      std::erase_if(differing, [&](const auto& item) { return common_.contains(item.first); });
      for (const Expr& restriction : source_.restrictions) {
        COPPICE_TRY(const Expr filled, instantiate(restriction, differing));
        if (names_axis(filled) && seen.insert(filled.text()).second) {
          out.push_back(filled);
        }
      }
    }
    return out;
  }

  Result<TemplateSpace> move_default(TemplateSpace made,
                                     const std::vector<Expr>& restrictions) const {
    const Genome wanted = made.space.canonical(made.space.default_genome());
    if (made.space.valid(wanted)) {
      return made;
    }
    Rng rng = stream(0, "default", 0);
    const std::optional<Genome> nearest = repair(made.space, wanted, {}, rng);
    if (!nearest) {
      return Error{ErrorCode::config, "no combination of levels satisfies its restrictions"};
    }
    std::vector<Axis> axes = source_.axes;
    for (std::size_t i = 0; i < axes.size(); ++i) {
      axes[i].default_level = nearest->levels[i];
    }
    COPPICE_TRY(made.space, AxisSpace::create(std::move(axes), restrictions, common_));
    return made;
  }

  const Op& op_;
  const Suite& suite_;
  const Template& source_;
  ValueMap facts_;
  std::vector<ValueMap> per_workload_;
  ValueMap common_;  // the same in every workload
};

std::string missing_feature(const Template& source, const Target& target) {
  for (const std::string& feature : source.requires_features) {
    if (std::ranges::find(target.features, feature) == target.features.end()) {
      return feature;
    }
  }
  return std::string();
}

Result<void> check_wanted(const Op& op, const std::vector<std::string>& wanted) {
  for (const std::string& name : wanted) {
    if (op.find_template(name) == nullptr) {
      std::string known;
      for (const Template& source : op.templates) {
        known += (known.empty() ? "" : ", ") + source.name;
      }
      return Error{ErrorCode::config,
                   "op " + op.name + " has no template '" + name + "' (it has " + known + ")"};
    }
  }
  return {};
}

}  // namespace

Result<Expr> instantiate(const Expr& expression, const ValueMap& values) {
  const std::string& text = expression.text();
  std::string out;
  std::size_t i = 0;
  while (i < text.size()) {
    std::size_t end = i + 1;
    if (text[i] == '\'' || text[i] == '"') {
      end = std::min(text.find(text[i], i + 1), text.size() - 1) + 1;
      out += text.substr(i, end - i);
    } else if (starts_name(text[i])) {
      while (end < text.size() && continues_name(text[end])) {
        ++end;
      }
      const std::string name = text.substr(i, end - i);
      const auto value = values.find(name);
      out += value == values.end() ? name : literal(value->second);
    } else if (std::isdigit(static_cast<unsigned char>(text[i])) != 0) {
      while (end < text.size() && continues_name(text[end])) {
        ++end;
      }
      out += text.substr(i, end - i);
    } else {
      out += text[i];
    }
    i = end;
  }
  return Expr::parse(out);
}

Result<TemplateSpaces> template_spaces(const Op& op,
                                       const Suite& suite,
                                       const Target& target,
                                       const std::vector<std::string>& wanted) {
  COPPICE_TRY_VOID(check_wanted(op, wanted));
  TemplateSpaces out;
  for (const Template& source : op.templates) {
    const bool named = std::ranges::find(wanted, source.name) != wanted.end();
    if (source.backend != target.backend || (!wanted.empty() && !named)) {
      continue;
    }
    const std::string missing = missing_feature(source, target);
    if (!missing.empty()) {
      out.left_out.push_back({source.name, "target " + target.name + " has no " + missing});
      continue;
    }
    const std::string place = "op " + op.name + ": template " + source.name;
    const Builder builder(op, suite, target, source);
    COPPICE_TRY(const std::string objection, builder.objection().within(place));
    if (!objection.empty()) {
      out.left_out.push_back({source.name, objection});
      continue;
    }
    COPPICE_TRY(TemplateSpace made, builder.build().within(place));
    out.spaces.push_back(std::move(made));
  }
  if (out.spaces.empty()) {
    std::string why;
    for (const LeftOut& left : out.left_out) {
      why += "; " + left.template_name + ": " + left.reason;
    }
    return Error{
        ErrorCode::config,
        "op " + op.name + " has no " + target.backend + " template for suite " + suite.name + why};
  }
  return out;
}

std::vector<std::string> precision_classes(const Op& op, const Suite& suite) {
  std::vector<std::string> names;
  for (const PrecisionClass& item : op.precision) {
    const bool exists = std::ranges::all_of(item.types, [&](const auto& type) {
      const auto found = suite.types.find(type.first);
      return found != suite.types.end() && found->second == type.second;
    });
    if (exists) {
      names.push_back(item.name);
    }
  }
  return names;
}

}  // namespace coppice::cli
