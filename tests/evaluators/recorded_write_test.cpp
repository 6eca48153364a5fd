// Formats of other tuners: what is written reads back the same; KTT output and T1 spaces.
#include "evaluators/recorded_write.h"

#include "core/space_walk.h"
#include "evaluators/landscape.h"
#include "evaluators/t1_space.h"
#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::evaluators;

namespace {

constexpr char kKtt[] = R"({
  "Metadata": {"ComputeApi": "CUDA", "Device": "D", "TimeUnit": "Microseconds"},
  "Results": [
    {"KernelName": "K", "Status": "Ok", "TotalDuration": 1500.0, "TotalOverhead": 2e6,
     "Configuration": [{"Name": "a", "Type": "UnsignedInt", "Value": 8},
                       {"Name": "b", "Type": "String", "Value": "x"}], "ComputationResults": []},
    {"KernelName": "K", "Status": "ValidationFailed", "TotalDuration": 0.0, "TotalOverhead": 1.0,
     "Configuration": [{"Name": "a", "Type": "UnsignedInt", "Value": 4},
                       {"Name": "b", "Type": "String", "Value": "x"}], "ComputationResults": []}]})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

std::string t1_refusal(const std::string& values, const std::string& condition) {
  const std::string text =
      R"({"ConfigurationSpace": {"TuningParameters": [{"Name": "x", "Values": )" + values +
      R"(}], "Conditions": [{"Expression": ")" + condition + R"("}]}})";
  const auto json = Json::parse(text, "t1");
  REQUIRE(json.ok());
  const auto space = t1_space(json->reader("t1"));
  return space.ok() ? "" : space.error().message;
}

}  // namespace

TEST_CASE("a table written as T4 or as a cache file reads back with the same points and times") {
  const auto table = generate_landscape("cliffs", 1);
  REQUIRE(table.ok());
  for (const Json& json : {t4_json(*table), kernel_tuner_json(*table)}) {
    const auto again = RecordedTable::parse(json.dump(), "again");
    INFO((again.ok() ? "" : again.error().message));
    REQUIRE(again.ok());
    CHECK(again->size() == table->size());
    CHECK(again->valid_count() == table->valid_count());
    CHECK(again->optimum_milliseconds() == table->optimum_milliseconds());
    std::size_t same = 0;
    for (std::size_t i = 0; i < table->size(); ++i) {
      const Genome& genome = (*table->space().space.listed())[i];
      const auto there = again->space().space.genome(table->space().space.values(genome));
      REQUIRE(there.ok());
      const RecordedOutcome* outcome = again->find(*there);
      REQUIRE(outcome != nullptr);
      same += outcome->valid == table->outcomes()[i].valid &&
                      outcome->milliseconds == table->outcomes()[i].milliseconds
                  ? 1
                  : 0;
    }
    CHECK(same == table->size());
  }
}

TEST_CASE("KTT output gives milliseconds from its own unit, and failures with their class") {
  const auto table = RecordedTable::parse(kKtt, "ktt");
  INFO((table.ok() ? "" : table.error().message));
  REQUIRE(table.ok());
  CHECK(table->name() == "K on D");
  CHECK(table->size() == 2);
  CHECK(table->optimum_milliseconds() == Approx(1.5));
  CHECK(table->space().space.describe(table->optimum()) == "a=8 b=x");
  CHECK(table->outcomes()[0].failure == FailureClass::wrong_result);
  CHECK(table->outcomes()[1].compile_seconds == Approx(2.0));
  const auto seconds = RecordedTable::parse(replaced(kKtt, "Microseconds", "Seconds"), "ktt");
  REQUIRE(seconds.ok());
  CHECK(seconds->optimum_milliseconds() == Approx(1.5e6));
  const auto status = RecordedTable::parse(replaced(kKtt, "ValidationFailed", "Odd"), "ktt");
  REQUIRE(!status.ok());
  CHECK(status.error().message.find("/Results/1/Status") != std::string::npos);
  const auto unit = RecordedTable::parse(replaced(kKtt, "Microseconds", "Days"), "ktt");
  CHECK(!unit.ok());
}

TEST_CASE("a T1 space has its values and conditions, parsed and never executed") {
  const auto json = Json::parse(R"t1({"ConfigurationSpace": {"TuningParameters": [
        {"Name": "x", "Type": "int", "Values": "[16, 32, 48]", "Default": 32},
        {"Name": "y", "Values": "list(range(1, 9, 2))"}, {"Name": "z", "Values": ["a", "b"]}],
        "Conditions": [{"Expression": "x % 32 != 0 or y < 4"}]}})t1",
                                "t1");
  REQUIRE(json.ok());
  const auto space = t1_space(json->reader("t1"));
  INFO((space.ok() ? "" : space.error().message));
  REQUIRE(space.ok());
  CHECK(space->space.raw_size() == 24);
  CHECK(space->space.axis(0).default_level == 1);
  CHECK(SpaceWalker(space->space).count() == 20);
  CHECK(t1_refusal(R"v("[1, 2]")v", "x < 3").empty());
  CHECK(t1_refusal(R"v("__import__('os').listdir()")v", "x < 3").find("/Values") !=
        std::string::npos);
  CHECK(t1_refusal(R"v("[open('f'), 2]")v", "x < 3").find("value open('f')") != std::string::npos);
  CHECK(t1_refusal(R"v("range(1, 5, 0)")v", "x < 3").find("range") != std::string::npos);
  CHECK(t1_refusal(R"v("[1, 2]")v", "exec(x)").find("/Conditions/0/Expression") !=
        std::string::npos);
}
