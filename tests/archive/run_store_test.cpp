// How runs are named, found and listed.
#include "archive/run_store.h"

#include "tests/archive/support.h"

using namespace coppice;
using namespace coppice::archive;
using Mode = ExperimentLog::Mode;

namespace {

const Nanoseconds kNovember23 = std::chrono::seconds(1'795'392'000);  // 2026-11-23 00:00 UTC

void start_run(const RunStore& store, const std::string& name, std::int64_t second) {
  LogOptions options;
  options.wall_clock = [second] {
    return Nanoseconds(std::chrono::seconds(second));
  };
  auto log = must(ExperimentLog::open(store.directory_of(name), Mode::create, options));
  RunStarted start;
  start.run = name;
  start.seed = 7;
  must(log.append(start));
  must(log.close());
}

}  // namespace

TEST_CASE("runs are named after their operation, the day, and a counter") {
  const TempDir dir;
  const auto store = must(RunStore::open(dir / "archive", RunStore::Access::create));
  const auto later = kNovember23 + std::chrono::hours(23);
  REQUIRE(must(store.create_run("gqa_paged_decode", kNovember23)) == "gqa_paged_decode-20261123-1");
  REQUIRE(must(store.create_run("gqa_paged_decode", later)) == "gqa_paged_decode-20261123-2");
  REQUIRE(must(store.create_run("My Op/x", later)) == "my_op_x-20261123-1");
  REQUIRE(must(store.create_run("..", later)) == "run-20261123-1");
  REQUIRE(must(store.names()).size() == 4);
  REQUIRE(error_of(store.create_run_named("run-20261123-1")).code == ErrorCode::config);
  REQUIRE(error_of(store.create_run_named("../x")).code == ErrorCode::config);
}

TEST_CASE("a run is found by name, by a unique beginning, and as the latest") {
  const TempDir dir;
  const auto store = must(RunStore::open(dir / "archive", RunStore::Access::create));
  REQUIRE(error_of(store.find("latest")).code == ErrorCode::missing);
  for (const char* name : {"gemm-1", "gemm-10", "moe-1", "zzz"}) {
    must(store.create_run_named(name));
  }
  start_run(store, "gemm-1", 10);
  start_run(store, "gemm-10", 30);
  start_run(store, "moe-1", 20);
  REQUIRE(must(store.find("gemm-1")) == "gemm-1");
  REQUIRE(must(store.find("mo")) == "moe-1");
  REQUIRE(must(store.find("latest")) == "gemm-10");  // zzz never started
  const Error two = error_of(store.find("gem"));
  REQUIRE(two.code == ErrorCode::config);
  REQUIRE_THAT(two.message, Catch::Contains("gemm-1, gemm-10"));
  REQUIRE_THAT(error_of(store.find("attention")).message, Catch::Contains("moe-1"));
}

TEST_CASE("the list shows each run's start, end and trouble, oldest first") {
  const TempDir dir;
  const auto store = must(RunStore::open(dir / "archive", RunStore::Access::create));
  for (const char* name : {"a", "b", "c", "d"}) {
    must(store.create_run_named(name));
  }
  start_run(store, "b", 20);
  start_run(store, "c", 10);
  {
    auto log = must(store.open_run("c", Mode::append));
    must(log.append(Stopped{StopReason::budget_attempts, "60 attempts"}));
    must(log.close());
  }
  start_run(store, "d", 30);
  spill(store.directory_of("d") + "/log.sqlite", "rubbish");
  auto writer = must(store.open_run("b", Mode::append));
  const auto runs = must(store.list());
  REQUIRE(runs.size() == 4);
  REQUIRE(runs[0].name == "a");
  REQUIRE_THAT(runs[0].trouble, Catch::Contains("never started"));
  REQUIRE(runs[1].name == "d");
  REQUIRE_FALSE(runs[1].trouble.empty());
  REQUIRE(runs[2].name == "c");
  REQUIRE(runs[2].stopped->reason == StopReason::budget_attempts);
  REQUIRE(runs[2].events == 2);
  REQUIRE_FALSE(runs[2].writer.has_value());
  REQUIRE(runs[3].name == "b");
  REQUIRE(runs[3].start->seed == 7);
  REQUIRE(runs[3].writer == ::getpid());
  REQUIRE_FALSE(runs[3].stopped.has_value());
}

TEST_CASE("an archive that is not there, or newer than this program, is refused") {
  const TempDir dir;
  REQUIRE(error_of(RunStore::open(dir / "none", RunStore::Access::read)).code ==
          ErrorCode::missing);
  must(RunStore::open(dir / "archive", RunStore::Access::create));
  must(RunStore::open(dir / "archive", RunStore::Access::read));
  spill(dir / "archive/coppice-archive.json", "{\"format\": 2}");
  const Error error = error_of(RunStore::open(dir / "archive", RunStore::Access::read));
  REQUIRE(error.code == ErrorCode::environment);
  REQUIRE_THAT(error.message, Catch::Contains("format 2"));
}
