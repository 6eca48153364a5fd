// A memory check as JSON and in words.
#include "core/codec.h"
#include "core/memory_check.h"

#include <utility>

namespace coppice {
namespace {

using CheckText = std::string MemoryCheck::*;
constexpr std::pair<std::string_view, CheckText> kCheckTexts[] = {
    {"tool", &MemoryCheck::tool},
    {"ran", &MemoryCheck::ran},
    {"workloads", &MemoryCheck::workloads},
    {"finding", &MemoryCheck::finding},
    {"noted", &MemoryCheck::noted},
    {"unavailable", &MemoryCheck::unavailable},
};

}  // namespace

Json to_json(const MemoryCheck& check) {
  Json out = Json::object();
  for (const auto& [key, text] : kCheckTexts) {
    set_if(out, key, !(check.*text).empty(), check.*text);
  }
  return out.set("seconds", check.seconds);
}

Result<MemoryCheck> memory_check(const JsonReader& json) {
  MemoryCheck out;
  Fields fields(json, {"tool", "ran", "workloads", "finding", "noted", "unavailable", "seconds"});
  for (const auto& [key, text] : kCheckTexts) {
    fields.maybe(key, out.*text);
  }
  fields.need("seconds", out.seconds);
  return fields.done(std::move(out));
}

std::string text_of(const MemoryCheck& check) {
  if (check.ran.empty()) {
    return "memory not checked: " + check.unavailable;
  }
  std::string text = check.tool + " (" + check.ran + ") ";
  text += check.finding.empty() ? "found nothing on " + check.workloads : "found: " + check.finding;
  text += check.noted.empty() ? "" : "; noted: " + check.noted;
  text += check.unavailable.empty() ? "" : "; not complete: " + check.unavailable;
  return text;
}

}  // namespace coppice
