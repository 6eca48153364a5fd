// Hardware counters as JSON and in words.
#include "core/counters.h"

#include "tests/support/catch.h"

using namespace coppice;

namespace {

HardwareCounters some_counters() {
  WorkloadCounters one;
  one.workload = "b16";
  one.passes = 7;
  one.dram_read_bytes = 134.2e6;
  one.dram_write_bytes = 0.131072e6;
  one.l2_hit_share = 0.125;
  one.tensor_active_share = 0.03;
  one.occupancy_share = 0.24;
  one.stalls = {{"long_scoreboard", 0.61}, {"barrier", 0.12}};
  HardwareCounters out;
  out.source = "CUPTI 13.0 range profiler";
  out.workloads = {one};
  return out;
}

}  // namespace

TEST_CASE("hardware counters survive a round trip, absent ones stay absent") {
  const HardwareCounters counters = some_counters();
  const Json json = to_json(counters);
  const auto back = hardware_counters(json.reader("counters"));
  REQUIRE(back.ok());
  CHECK(*back == counters);
  CHECK(!back->workloads[0].issue_active_share);
  HardwareCounters none;
  none.unavailable = "no libcupti.so.13";
  const auto empty = hardware_counters(to_json(none).reader("counters"));
  REQUIRE(empty.ok());
  CHECK(*empty == none);
}

TEST_CASE("counters of an unknown kind are refused by name") {
  Json json = to_json(some_counters());
  json.set("temperature", 7);
  const auto back = hardware_counters(json.reader("counters"));
  REQUIRE(!back.ok());
  CHECK(back.error().message.find("temperature") != std::string::npos);
}

TEST_CASE("counters in words name bytes, shares and the first reasons to wait") {
  CHECK(text_of(some_counters().workloads[0]) ==
        "reads 134 MB, writes 0.13 MB; L2 hits 12 %; tensor pipes 3 %, occupancy 24 %; warps wait "
        "for long_scoreboard 61 %, barrier 12 %");
}
