// Counters and memory checks in lines for a person.
#include "cli/device_evidence.h"

#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::cli;

namespace {

Evidence counted_evidence() {
  Evidence out;
  out.counters.emplace();
  out.counters->source = "CUPTI 13.0 range profiler";
  WorkloadCounters one;
  one.workload = "b16";
  one.dram_read_bytes = 134e6;
  out.counters->workloads = {one};
  return out;
}

}  // namespace

TEST_CASE("evidence without counters says nothing of a device") {
  CHECK(device_evidence_text(Evidence(), "").empty());
}

TEST_CASE("counters are told by workload, with what is missing") {
  Evidence evidence = counted_evidence();
  CHECK(device_evidence_text(evidence, "  ") ==
        "  counters (CUPTI 13.0 range profiler):\n    b16: reads 134 MB\n");
  evidence.counters->unavailable = "left out after 1 workloads";
  CHECK(device_evidence_text(evidence, "") ==
        "counters (CUPTI 13.0 range profiler):\n  b16: reads 134 MB\nmore counters: left out after "
        "1 workloads\n");
}

TEST_CASE("counters that can't be had are one line") {
  Evidence evidence;
  evidence.counters.emplace();
  evidence.counters->unavailable = "no libcupti.so.13 or .12";
  evidence.memory_check.emplace();
  evidence.memory_check->unavailable = "switched off (COPPICE_SANITIZER=off)";
  CHECK(device_evidence_text(evidence, "") ==
        "no counters: no libcupti.so.13 or .12\nmemory not checked: switched off "
        "(COPPICE_SANITIZER=off)\n");
}
