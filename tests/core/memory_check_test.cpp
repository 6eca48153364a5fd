// Memory checks as JSON and in words.
#include "core/memory_check.h"

#include "tests/support/catch.h"

using namespace coppice;

TEST_CASE("a memory check survives a round trip and says in one line what it came to") {
  MemoryCheck check;
  check.tool = "compute-sanitizer 2025.3.1";
  check.ran = "memcheck, racecheck";
  check.workloads = "odd_b3, odd_b7";
  check.seconds = 2.5;
  const Json json = to_json(check);
  const auto back = memory_check(json.reader("memory_check"));
  REQUIRE(back.ok());
  CHECK(*back == check);
  CHECK(text_of(check) ==
        "compute-sanitizer 2025.3.1 (memcheck, racecheck) found nothing on odd_b3, odd_b7");
  check.finding = "memcheck: odd_b3: Invalid read, at k+0x10";
  CHECK(text_of(check) ==
        "compute-sanitizer 2025.3.1 (memcheck, racecheck) found: memcheck: odd_b3: Invalid read, "
        "at k+0x10");
}

TEST_CASE("a memory check that could not be made says why") {
  MemoryCheck check;
  check.unavailable = "no compute-sanitizer on the PATH";
  CHECK(text_of(check) == "memory not checked: no compute-sanitizer on the PATH");
}
