// Measured ceilings: the best of several, measured again when too few or too old.
#include "evaluators/cpu/ceiling_record.h"

#include "tests/support/catch.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace coppice;
using namespace coppice::evaluators::cpu;

namespace {

// A machine whose measurements are scripted, and whose clock stands still.
struct Bench {
  Bench() {
    std::string name = std::filesystem::temp_directory_path() / "coppice_ceilings_XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder = name;
  }
  ~Bench() { std::filesystem::remove_all(folder); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  CeilingSource source() {
    CeilingSource out;
    out.folder = folder;
    out.measure = [this](const Machine&) {
      ++measured;
      Ceilings rates;
      rates.read_one = rates.read_all = next;
      rates.f32_fma = 1000.0 / next;
      return rates;
    };
    out.now = [this] {
      return clock;
    };
    return out;
  }
  CeilingRecord look(Measuring when = Measuring::when_due) {
    return look_up_ceilings(source(), when);
  }

  std::string folder;
  double next = 10.0;
  int measured = 0;
  Nanoseconds clock = std::chrono::hours(1000);
};

}  // namespace

TEST_CASE("a disturbed first measurement of the ceilings is outdone by the next ones") {
  Bench bench;
  bench.next = 1.0;
  CHECK(bench.look().best().read_all == 1.0);
  bench.next = 10.0;
  const CeilingRecord second = bench.look();
  CHECK(second.best().read_all == 10.0);
  CHECK(second.best().f32_fma == 1000.0);  // each ceiling has its own best
  CHECK(second.entries().size() == 2);
}

TEST_CASE("three measurements are trusted for a day, and asking measures at once") {
  Bench bench;
  for (int i = 0; i < 5; ++i) {
    bench.look();
  }
  CHECK(bench.measured == 3);
  bench.clock += std::chrono::hours(23);
  bench.look();
  CHECK(bench.measured == 3);
  bench.look(Measuring::now);
  CHECK(bench.measured == 4);
  bench.clock += std::chrono::hours(25);
  bench.look();
  CHECK(bench.measured == 5);
  bench.clock -= std::chrono::hours(500);  // somebody set the clock back
  bench.look();
  CHECK(bench.measured == 6);
}

TEST_CASE("a ceiling that was measured wrongly high is forgotten after a while") {
  Bench bench;
  bench.next = 99.0;
  bench.look();
  bench.next = 10.0;
  for (std::size_t i = 0; i < CeilingRecord::kMost; ++i) {
    CHECK(bench.look(Measuring::now).entries().size() <= CeilingRecord::kMost);
  }
  CHECK(bench.look().best().read_all == 10.0);
}

TEST_CASE("what a candidate made measure again is kept when it is better") {
  Bench bench;
  bench.look();
  Ceilings better;
  better.read_all = 12.0;
  keep_ceilings(bench.source(), better);
  CHECK(bench.look(Measuring::now).best().read_all == 12.0);
  const std::size_t before = bench.look(Measuring::now).entries().size();
  Ceilings worse;
  worse.read_all = 11.0;
  keep_ceilings(bench.source(), worse);
  CHECK(bench.look().entries().size() == before);
}

TEST_CASE("a record that is torn, or of an older format, is as none") {
  Bench bench;
  for (const char* text : {"{\"schema\":2,\"meas",
                           "{\"f32_fma\":1.0,\"f64_fma\":1.0,\"launch_floor\":0.0,\"read_all\":1.0,"
                           "\"read_one\":1.0}"}) {
    std::ofstream(bench.source().path()) << text;
    CHECK(bench.look().entries().size() == 1);
  }
  Bench none;
  CeilingSource nowhere = none.source();
  nowhere.folder.clear();
  CHECK(look_up_ceilings(nowhere, Measuring::when_due).best().read_all == 10.0);
}
