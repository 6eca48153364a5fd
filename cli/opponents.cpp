// Sorts and words what was frozen.
#include "cli/opponents.h"

#include "cli/words.h"

#include <algorithm>

namespace coppice::cli {
namespace {

// By workload in the order of the suite; in each by time, those without one last.
std::vector<const BaselineFrozen*> sorted(const RunReader& run) {
  std::vector<const BaselineFrozen*> out;
  std::vector<std::string> workloads;
  for (const BaselineFrozen& baseline : run.fold().baselines()) {
    out.push_back(&baseline);
    if (std::ranges::find(workloads, baseline.workload) == workloads.end()) {
      workloads.push_back(baseline.workload);
    }
  }
  const auto key = [&](const BaselineFrozen* b) {
    // One that is not there at all belongs to no workload.
    const auto place =
        b->workload.empty() ? workloads.end() : std::ranges::find(workloads, b->workload);
    return std::pair(place - workloads.begin(),
                     b->median.count() > 0 ? b->median : Nanoseconds::max());
  };
  std::ranges::stable_sort(out, {}, key);
  return out;
}

// Why there is no time; empty where there is one.
std::string reason(const BaselineFrozen& baseline, std::string_view kind) {
  const JsonReader details = baseline.details.reader("details");
  if (!details.is_object()) {
    return {};
  }
  const Result<std::string> text = details.text_or(kind, "");
  return text.ok() ? *text : std::string();
}

std::string note_of(const BaselineFrozen& baseline) {
  std::string note = baseline.chosen ? "the bar" : "";
  if (baseline.prepacked) {
    note = "prepacked: reported apart";
  }
  for (const char* kind : {"absent", "refused"}) {
    if (const std::string why = reason(baseline, kind); !why.empty()) {
      note = std::string(kind) + ": " + why.substr(0, why.find('\n'));
    }
  }
  return note;
}

}  // namespace

Json opponents_json(const RunReader& run) {
  return Json::array_of(sorted(run), [](const BaselineFrozen* baseline) {
    Json item = Json::object();
    item.set("workload", baseline->workload).set("name", baseline->name);
    item.set("median_us", to_microseconds(baseline->median));
    item.set("chosen", baseline->chosen).set("prepacked", baseline->prepacked);
    for (const char* kind : {"absent", "refused"}) {
      if (const std::string why = reason(*baseline, kind); !why.empty()) {
        item.set(kind, why);
      }
    }
    return item;
  });
}

std::string opponents_text(const RunReader& run) {
  Table table({"workload", "opponent", "median", "note"});
  for (const BaselineFrozen* baseline : sorted(run)) {
    table.add({baseline->workload.empty() ? "all" : baseline->workload,
               baseline->name,
               baseline->median.count() > 0 ? time_text(baseline->median) : "-",
               note_of(*baseline)});
  }
  return table.empty() ? std::string() : table.text();
}

}  // namespace coppice::cli
