// Recorded tables: both formats, old and new writers, files that were cut off, and the public two.
#include "evaluators/recorded_table.h"

#include "core/space_walk.h"
#include "tests/support/autotune_spaces.h"
#include "tests/support/catch.h"

#include <cmath>
#include <fstream>

using namespace coppice;
using namespace coppice::evaluators;

namespace {

const std::string kHead =
    R"({"device_name": "D", "kernel_name": "K", "problem_size": 8, "tune_params_keys": ["b", "a"],
        "tune_params": {"b": [1, 2, 4], "a": ["x", "y"]}, "cache": {
        "1,x": {"b": 1, "a": "x", "time": 2.0, "times": [1.9, 2.1], "compile_time": 1000,
                "benchmark_time": 500, "GFLOP/s": NaN},
        "2,x": {"b": 2, "a": "x", "time": "RuntimeFailedConfig", "compile_time": 1000},
        "2,y": {"b": 2, "a": "y", "__error__": "CompilationFailedConfig"})";
const std::string kLast = R"(, "4,y": {"b": 4, "a": "y", "time": 1.5, "times": [[1.5], [1.5]]})";

RecordedTable parsed(const std::string& text) {
  Result<RecordedTable> table = RecordedTable::parse(text, "t.json");
  INFO((table.ok() ? "" : table.error().message));
  REQUIRE(table.ok());
  return std::move(table).value();
}

std::string refusal(const std::string& text) {
  const auto table = RecordedTable::parse(text, "t.json");
  return table.ok() ? "" : table.error().message;
}

}  // namespace

TEST_CASE("a cache file gives the space of what it lists, with times, noise and failures") {
  const RecordedTable table = parsed(kHead + kLast + "}}");
  CHECK(table.name() == "K on D");
  CHECK(table.size() == 4);
  CHECK(table.valid_count() == 3 - 1);
  const AxisSpace& space = table.space().space;
  CHECK(space.axis(0).name == "b");  // the file's order of parameters
  CHECK(space.axis(0).type == AxisType::ordinal);
  CHECK(space.axis(1).type == AxisType::categorical);
  CHECK(!space.valid(Genome{{0, 1}}));
  const RecordedOutcome* first = table.find(Genome{{0, 0}});
  REQUIRE(first != nullptr);
  CHECK(first->valid);
  CHECK(first->milliseconds == 2.0);
  CHECK(first->log_noise == Approx(0.05));
  CHECK(first->compile_seconds == Approx(1.0));
  CHECK(first->run_seconds == Approx(0.5));
  CHECK(table.find(Genome{{1, 0}})->failure == FailureClass::crash);
  CHECK(table.find(Genome{{1, 1}})->failure == FailureClass::compile_error);
  CHECK(table.find(Genome{{1, 1}})->gate == Gate::build);
  CHECK(table.find(Genome{{0, 1}}) == nullptr);
  CHECK(table.optimum() == Genome{{2, 1}});
  CHECK(table.optimum_milliseconds() == 1.5);
}

TEST_CASE("a cache file that was cut off is read up to its last whole entry") {
  const std::string whole = kHead + kLast;
  for (const std::string& torn : {kHead, kHead + ",", kHead + ",\n"}) {
    CHECK(parsed(torn).size() == 3);
    CHECK(parsed(torn).torn_entries() == 0);
  }
  CHECK(parsed(whole).size() == 4);
  const std::string inside = whole.substr(0, whole.size() - 12);
  CHECK(parsed(inside).size() == 3);
  CHECK(parsed(inside).torn_entries() == 1);
  // Wherever the cut falls inside the last entry, nothing before it is lost.
  for (std::size_t cut = kHead.size(); cut < whole.size(); ++cut) {
    CHECK(parsed(whole.substr(0, cut)).size() == 3);
  }
}

TEST_CASE("T4 results are read with either spelling of the compile time") {
  const RecordedTable table = parsed(R"({"schema_version": "1.0.0", "results": [
      {"configuration": {"n": 4}, "times": {"compilation": 2000, "runtimes": [1.0, 1.0]},
       "invalidity": "correct", "correctness": 1,
       "measurements": [{"name": "time", "value": 1.0, "unit": "ms"}], "objectives": ["time"]},
      {"configuration": {"n": 2}, "times": {"compilation_time": 3000}, "invalidity": "timeout",
       "measurements": [{"name": "time", "value": "RuntimeFailedConfig"}]},
      {"configuration": {"n": 8}, "invalidity": "correctness", "measurements": []}]})");
  CHECK(table.size() == 3);
  CHECK(table.valid_count() == 1);
  CHECK(table.space().space.axis(0).levels[0] == Value(std::int64_t{2}));
  CHECK(table.find(Genome{{0}})->failure == FailureClass::hang);
  CHECK(table.find(Genome{{0}})->compile_seconds == Approx(3.0));
  CHECK(table.find(Genome{{1}})->compile_seconds == Approx(2.0));
  CHECK(table.find(Genome{{2}})->failure == FailureClass::wrong_result);
}

TEST_CASE("a file that is no table is refused with its place") {
  CHECK(refusal("{}").find("t.json: /: expected a Kernel Tuner cache file") == 0);
  CHECK(refusal("[1, 2").find("t.json: line 1") == 0);
  const std::string broken = kHead + R"(, "4,y": {"b": 4, "a": "y"}}})";
  CHECK(refusal(broken).find("/cache/4,y: expected \"time\" or \"__error__\"") !=
        std::string::npos);
  const std::string outside = kHead + R"(, "5,y": {"b": 5, "a": "y", "time": 1.0}}})";
  CHECK(refusal(outside).find("axis \"b\": expected one of 1, 2, 4, found 5") != std::string::npos);
  CHECK(!RecordedTable::read("/nowhere/at/all.json").ok());
}

TEST_CASE("the public tables have exactly the genomes that their restrictions allow", "[slow]") {
  const auto folder = tests::autotune_folder();
  if (!folder) {
    WARN("skipped: no folder shared/data/autotune and no COPPICE_AUTOTUNE_DATA");
    return;
  }
  struct Case {
    const char* file;
    AxisSpace space;
    double optimum;
    std::size_t valid;
  };
  for (const Case& c :
       {Case{"gemm_RTX_Titan.kerneltuner.json.gz", tests::gemm_space(), 11.466165, 17956},
        Case{
            "convolution_A4000.kerneltuner.json.gz", tests::convolution_space(), 1.021172, 4201}}) {
    const auto table = RecordedTable::read(*folder + "/" + c.file);
    REQUIRE(table.ok());
    CHECK(*table->space().space.listed() == *enumerate(c.space, 100000));
    CHECK(table->valid_count() == c.valid);
    CHECK(table->optimum_milliseconds() == Approx(c.optimum).epsilon(1e-6));
  }
  const auto t4 = RecordedTable::read(*folder + "/convolution_A4000.T4.json.gz");
  REQUIRE(t4.ok());
  CHECK(t4->size() == 4362);
  CHECK(t4->valid_count() == 4201);
  CHECK(t4->optimum_milliseconds() == Approx(1.021172).epsilon(1e-6));
}
