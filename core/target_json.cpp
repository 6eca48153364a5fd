// Target as JSON (configs/targets/*.json).
#include "core/codec.h"
#include "core/target.h"

namespace coppice {
namespace {

Json rule_json(const HardRule& rule) {
  return Json::object()
      .set("name", rule.name)
      .set("applies", rule.applies)
      .set("holds", to_json(rule.holds));
}

Result<HardRule> read_rule(const JsonReader& json) {
  HardRule rule;
  Fields fields(json, {"name", "applies", "holds"});
  fields.need("name", rule.name).need("applies", rule.applies).need("holds", rule.holds);
  COPPICE_TRY(rule, fields.done(std::move(rule)));
  if (rule.applies != "step" && rule.applies != "genome") {
    COPPICE_TRY(const JsonReader applies, json.at("applies"));
    return applies.error("\"step\" or \"genome\"");
  }
  return rule;
}

}  // namespace

Json to_json(const Target& target) {
  Json peaks = Json::object();
  for (const auto& [name, peak] : target.peaks) {
    peaks.set(name, peak);
  }
  Json out =
      Json::object()
          .set("schema", 1)
          .set("name", target.name)
          .set("backend", target.backend)
          .set("facts", to_json(target.facts))
          .set("features", Json::array_of(target.features, [](const auto& f) { return Json(f); }))
          .set("rules", Json::array_of(target.rules, rule_json))
          .set("peaks", peaks);
  if (!target.ceilings.empty()) {
    Json ceilings = Json::object();
    for (const auto& [name, ceiling] : target.ceilings) {
      ceilings.set(name, ceiling);
    }
    out.set("ceilings", std::move(ceilings));
  }
  return out;
}

Result<Target> target(const JsonReader& json) {
  Target target;
  int schema = 0;
  Fields fields(json,
                {"schema", "name", "backend", "facts", "features", "rules", "peaks", "ceilings"});
  fields.need("schema", schema)
      .need("name", target.name)
      .need("backend", target.backend)
      .maybe("facts", target.facts)
      .maybe("features", target.features)
      .maybe("peaks", target.peaks)
      .maybe("ceilings", target.ceilings);
  COPPICE_TRY(target, fields.done(std::move(target)));
  if (schema != 1) {
    COPPICE_TRY(const JsonReader found, json.at("schema"));
    return found.error("schema 1");
  }
  if (const auto rules = json.find("rules")) {
    COPPICE_TRY(const std::vector<JsonReader> items, rules->items());
    for (const JsonReader& item : items) {
      COPPICE_TRY(HardRule rule, read_rule(item));
      target.rules.push_back(std::move(rule));
    }
  }
  return target;
}

}  // namespace coppice
