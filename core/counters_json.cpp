// Hardware counters as JSON (bytes, shares of 1) and in words.
#include "core/codec.h"
#include "core/counters.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

namespace coppice {
namespace {

using Field = std::optional<double> WorkloadCounters::*;
constexpr std::pair<std::string_view, Field> kCounterFields[] = {
    {"dram_read_bytes", &WorkloadCounters::dram_read_bytes},
    {"dram_write_bytes", &WorkloadCounters::dram_write_bytes},
    {"l2_hit_share", &WorkloadCounters::l2_hit_share},
    {"tensor_active_share", &WorkloadCounters::tensor_active_share},
    {"issue_active_share", &WorkloadCounters::issue_active_share},
    {"occupancy_share", &WorkloadCounters::occupancy_share},
};
constexpr std::size_t kNamedStalls = 3;

std::string rounded(double value, int decimals) {
  std::array<char, 64> text{};
  const int n = std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return std::string(text.data(), static_cast<std::size_t>(std::clamp(n, 0, 63)));
}

std::string megabytes(double bytes) {
  const double mega = bytes * 1e-6;
  return rounded(mega, mega < 10 ? 2 : mega < 100 ? 1 : 0) + " MB";
}

std::string percent(double share) {
  return rounded(100.0 * share, 0) + " %";
}

void add(std::string& text, const char* before, const std::string& part) {
  text += (text.empty() ? "" : before) + part;
}

}  // namespace

Json to_json(const WorkloadCounters& counters) {
  Json out = Json::object();
  out.set("workload", counters.workload).set("passes", counters.passes);
  for (const auto& [key, field] : kCounterFields) {
    set_if(out, key, (counters.*field).has_value(), (counters.*field).value_or(0.0));
  }
  out.set("stalls", Json::array_of(counters.stalls, [](const StallReason& stall) {
            return Json::object().set("reason", stall.name).set("share", stall.share);
          }));
  return out;
}

Json to_json(const HardwareCounters& counters) {
  Json out = Json::object();
  set_if(out, "source", !counters.source.empty(), counters.source);
  set_if(out, "unavailable", !counters.unavailable.empty(), counters.unavailable);
  out.set("workloads", Json::array_of(counters.workloads, [](const WorkloadCounters& one) {
            return to_json(one);
          }));
  return out;
}

Result<WorkloadCounters> workload_counters(const JsonReader& json) {
  WorkloadCounters out;
  Fields fields(json,
                {"workload",
                 "passes",
                 "dram_read_bytes",
                 "dram_write_bytes",
                 "l2_hit_share",
                 "tensor_active_share",
                 "issue_active_share",
                 "occupancy_share",
                 "stalls"});
  fields.need("workload", out.workload).need("passes", out.passes);
  for (const auto& [key, field] : kCounterFields) {
    fields.maybe(key, out.*field);
  }
  COPPICE_TRY(out, fields.done(std::move(out)));
  COPPICE_TRY(const JsonReader stalls, json.at("stalls"));
  COPPICE_TRY(const std::vector<JsonReader> items, stalls.items());
  for (const JsonReader& item : items) {
    StallReason stall;
    Fields parts(item, {"reason", "share"});
    parts.need("reason", stall.name).need("share", stall.share);
    COPPICE_TRY(stall, parts.done(std::move(stall)));
    out.stalls.push_back(std::move(stall));
  }
  return out;
}

Result<HardwareCounters> hardware_counters(const JsonReader& json) {
  HardwareCounters out;
  Fields fields(json, {"source", "unavailable", "workloads"});
  fields.maybe("source", out.source).maybe("unavailable", out.unavailable);
  COPPICE_TRY(out, fields.done(std::move(out)));
  COPPICE_TRY(const JsonReader workloads, json.at("workloads"));
  COPPICE_TRY(const std::vector<JsonReader> items, workloads.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(WorkloadCounters one, workload_counters(item));
    out.workloads.push_back(std::move(one));
  }
  return out;
}

std::string text_of(const WorkloadCounters& counters) {
  std::string text;
  if (counters.dram_read_bytes) {
    add(text, "", "reads " + megabytes(*counters.dram_read_bytes));
  }
  if (counters.dram_write_bytes) {
    add(text, ", ", "writes " + megabytes(*counters.dram_write_bytes));
  }
  if (counters.l2_hit_share) {
    add(text, "; ", "L2 hits " + percent(*counters.l2_hit_share));
  }
  if (counters.tensor_active_share) {
    add(text, "; ", "tensor pipes " + percent(*counters.tensor_active_share));
  }
  if (counters.issue_active_share) {
    add(text, ", ", "issue slots " + percent(*counters.issue_active_share));
  }
  if (counters.occupancy_share) {
    add(text, ", ", "occupancy " + percent(*counters.occupancy_share));
  }
  for (std::size_t i = 0; i < std::min(counters.stalls.size(), kNamedStalls); ++i) {
    const StallReason& stall = counters.stalls[i];
    add(text,
        i == 0 ? "; " : ", ",
        (i == 0 ? "warps wait for " : "") + stall.name + " " + percent(stall.share));
  }
  return text;
}

}  // namespace coppice
