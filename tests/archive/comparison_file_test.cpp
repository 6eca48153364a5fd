// comparison.json: comes back as written, fits one log alone, and shows when it was changed.
#include "archive/comparison_file.h"

#include "archive/run_pack.h"
#include "tests/archive/sample_run.h"
#include "tests/archive/support.h"

using namespace coppice;
using namespace coppice::archive;
using Mode = ExperimentLog::Mode;

namespace {

ExperimentLog closed_log(const RunStore& store, const std::string& name, std::size_t events) {
  must(store.create_run_named(name));
  auto log = must(store.open_run(name, Mode::create));
  for (const Event& event : sample_run()) {
    if (events-- > 0) {
      must(log.append(event));
    } else {
      break;
    }
  }
  must(log.close());
  return must(store.open_run(name, Mode::read));
}

std::vector<ComparedRun> two_runs() {
  ComparedRun random{"random", "gqa-2", 1.25, "paired", sha256("the other log")};
  random.attempts = 50;
  random.best_after = 31;
  random.as_good_after = 12;
  random.workloads = {{"b1", 1.5}, {"b16", 1.0}};
  return {random, {"default", "gqa-3", std::nullopt, "baseline", sha256("a third")}};
}

std::string path_of(const ExperimentLog& log) {
  return log.directory() + "/" + std::string(kComparisonFile);
}

}  // namespace

TEST_CASE("a comparison comes back as it was written, also when the log grew since") {
  const TempDir dir;
  const RunStore store = must(RunStore::open(dir / "archive", RunStore::Access::create));
  const ExperimentLog log = closed_log(store, "gqa-1", 5);
  REQUIRE(must(read_comparison(log)).empty());
  must(write_comparison(log, two_runs()));
  REQUIRE(must(read_comparison(log)) == two_runs());
  auto writer = must(store.open_run("gqa-1", Mode::append));
  must(writer.append(Tick{}));
  must(writer.close());
  const ExperimentLog longer = must(store.open_run("gqa-1", Mode::read));
  REQUIRE(must(read_comparison(longer)) == two_runs());
  REQUIRE(must(head_of(longer)) != must(head_of(closed_log(store, "gqa-9", 5))));
}

TEST_CASE("a comparison that an older program wrote is read without what it did not know") {
  const TempDir dir;
  const RunStore store = must(RunStore::open(dir / "archive", RunStore::Access::create));
  const ExperimentLog log = closed_log(store, "gqa-1", 5);
  const auto item = [](const ComparedRun& run) {
    return Json::object()
        .set("strategy", run.strategy)
        .set("run", run.run)
        .set("basis", run.basis)
        .set("ratio", run.ratio ? Json(*run.ratio) : Json())
        .set("head", run.head.hex());
  };
  Json old = Json::object();
  old.set("schema", 2).set("events", must(log.size())).set("head", must(head_of(log)).hex());
  old.set("compared", Json::array_of(two_runs(), item));
  const Digest digest = sha256(old.dump());
  spill(path_of(log), old.set("sha256", digest.hex()).pretty());
  const std::vector<ComparedRun> read = must(read_comparison(log));
  REQUIRE(read.size() == 2);
  CHECK(read[0].ratio == 1.25);
  CHECK(read[0].attempts == 0);
  CHECK_FALSE(read[0].as_good_after);
  CHECK(read[0].workloads.empty());
}

TEST_CASE("a comparison that was changed, torn, or put beside another log is refused") {
  const TempDir dir;
  const RunStore store = must(RunStore::open(dir / "archive", RunStore::Access::create));
  const ExperimentLog log = closed_log(store, "gqa-1", 5);
  const ExperimentLog other = closed_log(store, "gqa-2", 4);
  must(write_comparison(log, two_runs()));
  const std::string whole = slurp(path_of(log));
  spill(path_of(other), whole);
  const Error foreign = error_of(read_comparison(other));
  REQUIRE(foreign.code == ErrorCode::corrupt);
  REQUIRE_THAT(foreign.message, Catch::Contains("belongs to another log"));
  std::string better = whole;
  better.replace(better.find("1.25"), 4, "9.25");
  spill(path_of(log), better);
  REQUIRE_THAT(error_of(read_comparison(log)).message, Catch::Contains("digest"));
  spill(path_of(log), whole.substr(0, whole.size() / 2));
  const Error torn = error_of(read_comparison(log));
  REQUIRE(torn.code == ErrorCode::corrupt);
  REQUIRE_THAT(torn.message, Catch::Contains("comparison.json: line "));
}

TEST_CASE("a packed run takes its comparison along, and a false one is not packed") {
  const TempDir dir;
  const RunStore from = must(RunStore::open(dir / "from", RunStore::Access::create));
  const ExperimentLog log = closed_log(from, "gqa-1", 5);
  must(write_comparison(log, two_runs()));
  must(pack_run(from, "gqa-1", dir / "gqa.coppice"));
  const RunStore to = must(RunStore::open(dir / "to", RunStore::Access::create));
  must(unpack_run(to, dir / "gqa.coppice"));
  REQUIRE(must(read_comparison(must(to.open_run("gqa-1", Mode::read)))) == two_runs());
  std::string better = slurp(path_of(log));
  better.replace(better.find("1.25"), 4, "9.25");
  spill(path_of(log), better);
  REQUIRE(error_of(pack_run(from, "gqa-1", dir / "two.coppice")).code == ErrorCode::corrupt);
  REQUIRE_FALSE(exists(dir / "two.coppice"));
}
