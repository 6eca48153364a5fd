// Writes the frontier as CSV and JSON.
#include "cli/frontier_view.h"

#include <cmath>

namespace coppice::cli {
namespace {

std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\n") == text.npos) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    out += c == '"' ? "\"\"" : std::string(1, c);
  }
  return out + "\"";
}

Json speedup_of(const search::FrontierEntry& entry, bool against_baseline) {
  return entry.best_log_cost && against_baseline ? Json(std::exp(-*entry.best_log_cost)) : Json();
}

}  // namespace

std::string frontier_csv(const std::vector<search::FrontierEntry>& entries, bool against_baseline) {
  std::string out =
      "template,axis,kind,level,state,attempts,valid,best_log_cost,best_speedup,expected_gain\n";
  for (const search::FrontierEntry& entry : entries) {
    out += csv_text(entry.template_name) + "," + csv_text(entry.axis) + "," +
           std::string(to_text(entry.kind)) + "," + csv_text(coppice::to_text(entry.level)) + "," +
           entry.state + "," + std::to_string(entry.attempts) + "," + std::to_string(entry.valid);
    out += ",";
    const Json speedup = speedup_of(entry, against_baseline);
    out += entry.best_log_cost ? Json(*entry.best_log_cost).dump() : "";
    out += "," + (speedup.is_null() ? "" : speedup.dump()) + "," +
           Json(entry.expected_gain).dump() + "\n";
  }
  return out;
}

Json frontier_json(const std::vector<search::FrontierEntry>& entries, bool against_baseline) {
  return Json::array_of(entries, [&](const search::FrontierEntry& entry) {
    Json item = Json::object();
    item.set("template", entry.template_name).set("axis", entry.axis);
    item.set("kind", to_text(entry.kind)).set("level", Json(entry.level));
    item.set("state", entry.state).set("attempts", entry.attempts).set("valid", entry.valid);
    item.set("best_log_cost", entry.best_log_cost ? Json(*entry.best_log_cost) : Json());
    item.set("best_speedup", speedup_of(entry, against_baseline));
    item.set("expected_gain", entry.expected_gain);
    return item;
  });
}

}  // namespace coppice::cli
