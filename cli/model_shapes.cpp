// Evaluates shapes.json: names bound in order, levels crossed, one workload a combination.
#include "cli/model_shapes.h"

#include "core/codec.h"
#include "core/expr.h"

#include <set>

namespace coppice::cli {
namespace {

constexpr std::size_t kMostWorkloads = 512;

Result<Expr> expression(const JsonReader& json) {
  if (json.is_number()) {
    COPPICE_TRY(const std::int64_t number, json.integer());
    return Expr::constant(number);
  }
  COPPICE_TRY(const std::string text, json.text());
  const Result<Expr> parsed = Expr::parse(text);
  return parsed.ok() ? parsed : json.complain(parsed.error().message);
}

Result<Value> value_of(const JsonReader& json, const ValueMap& values) {
  COPPICE_TRY(const Expr expr, expression(json));
  const Result<Value> value = expr.evaluate(values);
  return value.ok() ? value : json.complain(value.error().message);
}

Result<bool> truth_of(const JsonReader& json, const ValueMap& values) {
  COPPICE_TRY(const Expr expr, expression(json));
  const Result<bool> value = expr.truth(values);
  return value.ok() ? value : json.complain(value.error().message);
}

// "b{batch}_s{length}" with the values put in.
Result<std::string> named_by(const JsonReader& json, const ValueMap& values) {
  COPPICE_TRY(const std::string text, json.text());
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t open = text.find('{', at);
    const std::size_t close = open == text.npos ? text.npos : text.find('}', open);
    if (close == text.npos) {
      break;
    }
    const auto found = values.find(text.substr(open + 1, close - open - 1));
    if (found == values.end()) {
      return json.complain("nothing is called " + text.substr(open, close - open + 1));
    }
    out += text.substr(at, open - at) + coppice::to_text(found->second);
    at = close + 1;
  }
  return out + text.substr(at);
}

class SuiteMaker {
 public:
  SuiteMaker(const JsonReader& rules, const ShapeRequest& request)
      : rules_(rules), request_(request) {}

  Result<ModelSuite> make() {
    COPPICE_TRY_VOID(rules_.only_keys(
        {"schema", "defaults", "let", "when", "requires", "types", "over", "groups", "hidden"}));
    COPPICE_TRY(const JsonReader schema, rules_.at("schema"));
    COPPICE_TRY_VOID(schema.integer_in(1, 1));
    COPPICE_TRY_VOID(bind());
    if (const auto when = rules_.find("when")) {
      COPPICE_TRY(const bool wanted, truth_of(*when, values_));
      if (!wanted) {
        return ModelSuite(when->copy().dump() + " does not hold for this model");
      }
    }
    COPPICE_TRY_VOID(requirements());
    COPPICE_TRY_VOID(groups());
    COPPICE_TRY_VOID(hidden_shapes());
    COPPICE_TRY(const JsonReader types, rules_.at("types"));
    Json out = Json::object();
    out.set("schema", 1).set("types", types.copy());
    out.set("workloads", std::move(workloads_)).set("hidden", std::move(hidden_));
    return ModelSuite(std::move(out));
  }

 private:
  Result<void> bind() {
    values_ = request_.model;
    values_.insert_or_assign("tp", Value(request_.tp));
    if (const auto defaults = rules_.find("defaults")) {
      COPPICE_TRY(const auto members, defaults->members());
      for (const auto& [name, item] : members) {
        COPPICE_TRY(Value value, item.value());
        values_.try_emplace(name, std::move(value));
      }
    }
    if (const auto let = rules_.find("let")) {
      COPPICE_TRY(const auto items, let->items());
      for (const JsonReader& item : items) {
        COPPICE_TRY(const auto members, item.members());
        for (const auto& [name, expr] : members) {
          COPPICE_TRY(Value value, value_of(expr, values_));
          values_.insert_or_assign(name, std::move(value));
        }
      }
    }
    return {};
  }

  Result<void> requirements() const {
    const auto list = rules_.find("requires");
    if (!list) {
      return {};
    }
    COPPICE_TRY(const auto items, list->items());
    for (const JsonReader& item : items) {
      COPPICE_TRY(const bool holds, truth_of(item, values_));
      if (!holds) {
        return Error{ErrorCode::usage,
                     "--tp " + std::to_string(request_.tp) + ": " + item.copy().dump() +
                         " does not hold for this model"};
      }
    }
    return {};
  }

  Result<std::vector<std::int64_t>> levels_of(const std::string& name) const {
    const auto own = request_.levels.find(name);
    if (own != request_.levels.end()) {
      return own->second;
    }
    COPPICE_TRY(const JsonReader over, rules_.at("over"));
    COPPICE_TRY(const JsonReader list, over.at(name));
    COPPICE_TRY(const auto items, list.items());
    std::vector<std::int64_t> out;
    for (const JsonReader& item : items) {
      COPPICE_TRY(out.emplace_back(), item.integer_in(1, std::int64_t{1} << 40));
    }
    return out;
  }

  Result<Json> workload(const JsonReader& json, const ValueMap& values) {
    COPPICE_TRY(const JsonReader name, json.at("name"));
    COPPICE_TRY(const JsonReader dims, json.at("dims"));
    COPPICE_TRY(const auto members, dims.members());
    Json numbers = Json::object();
    for (const auto& [dim, expr] : members) {
      COPPICE_TRY(const Value value, value_of(expr, values));
      const auto* whole = std::get_if<std::int64_t>(&value);
      if (whole == nullptr || *whole < 0) {
        return expr.complain("expected a whole number of at least 0, found " +
                             coppice::to_text(value));
      }
      numbers.set(dim, *whole);
    }
    Json out = Json::object();
    COPPICE_TRY(const std::string text, named_by(name, values));
    out.set("name", text).set("dims", std::move(numbers));
    if (const auto structure = json.find("structure")) {
      out.set("structure", structure->copy());
    }
    out.set("structure_seed", ++seed_);
    return out;
  }

  Result<void> groups() {
    COPPICE_TRY(const JsonReader list, rules_.at("groups"));
    COPPICE_TRY(const auto items, list.items());
    for (const JsonReader& group : items) {
      COPPICE_TRY_VOID(group.only_keys({"over", "name", "keep", "dims", "structure"}));
      COPPICE_TRY(const JsonReader over, group.at("over"));
      COPPICE_TRY(const std::vector<std::string> names, over.texts());
      COPPICE_TRY_VOID(cross(group, names, 0, values_));
    }
    if (workloads_.empty()) {
      return rules_.complain("no combination of levels gives a workload");
    }
    return {};
  }

  Result<void> cross(const JsonReader& group,
                     const std::vector<std::string>& names,
                     std::size_t depth,
                     const ValueMap& values) {
    if (depth < names.size()) {
      COPPICE_TRY(const std::vector<std::int64_t> levels, levels_of(names[depth]));
      for (const std::int64_t level : levels) {
        ValueMap with = values;
        with.insert_or_assign(names[depth], Value(level));
        COPPICE_TRY_VOID(cross(group, names, depth + 1, with));
      }
      return {};
    }
    if (const auto keep = group.find("keep")) {
      COPPICE_TRY(const bool wanted, truth_of(*keep, values));
      if (!wanted) {
        return {};
      }
    }
    COPPICE_TRY(Json made, workload(group, values));
    const std::string shape = made.reader("workload").find("dims")->copy().dump();
    if (shapes_.insert(shape).second) {  // two layers of one shape are one workload
      workloads_.push(std::move(made));
    }
    return shapes_.size() > kMostWorkloads
               ? Result<void>(
                     group.complain("more than " + std::to_string(kMostWorkloads) + " workloads"))
               : Result<void>();
  }

  Result<void> hidden_shapes() {
    const auto list = rules_.find("hidden");
    if (!list) {
      return {};
    }
    COPPICE_TRY(const auto items, list->items());
    for (const JsonReader& item : items) {
      COPPICE_TRY_VOID(item.only_keys({"name", "dims", "structure"}));
      COPPICE_TRY(Json made, workload(item, values_));
      hidden_.push(std::move(made));
    }
    return {};
  }

  const JsonReader& rules_;
  const ShapeRequest& request_;
  ValueMap values_;
  std::set<std::string> shapes_;
  Json workloads_ = Json::array(), hidden_ = Json::array();
  std::int64_t seed_ = 0;
};

}  // namespace

Result<ValueMap> model_values(const JsonReader& config) {
  if (const auto inner = config.find("text_config"); inner && inner->is_object()) {
    return model_values(*inner);
  }
  COPPICE_TRY(const auto members, config.members());
  ValueMap out;
  for (const auto& [name, member] : members) {
    if (member.is_number() || member.is_bool() || member.is_string()) {
      COPPICE_TRY(Value value, member.value());
      out.insert_or_assign(name, std::move(value));
    }
  }
  return out;
}

Result<ModelSuite> model_suite(const JsonReader& rules, const ShapeRequest& request) {
  return SuiteMaker(rules, request).make();
}

}  // namespace coppice::cli
