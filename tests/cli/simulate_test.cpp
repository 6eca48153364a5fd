// Simulated searches: every strategy counts the same way, and seeds are independent.
#include "cli/simulate.h"

#include "cli/simulated_world.h"
#include "tests/cli/fake_run.h"
#include "tests/support/catch.h"
#include "tests/support/text.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <set>

using namespace coppice;
using namespace coppice::cli;

namespace {

// 512 configurations with a smooth valley at (5, 2, 6) and failures where a is 0.
std::string valley_text() {
  std::string keys = "0", cache;
  for (int i = 1; i < 8; ++i) {
    keys += ", " + std::to_string(i);
  }
  for (int a = 0; a < 8; ++a) {
    for (int b = 0; b < 8; ++b) {
      for (int c = 0; c < 8; ++c) {
        const double time =
            1.0 + 0.1 * std::abs(a - 5) + 0.2 * std::abs(b - 2) + 0.05 * std::abs(c - 6);
        cache += fmt::format("{}\"{},{},{}\": {{\"a\": {}, \"b\": {}, \"c\": {}, \"time\": {}}}",
                             cache.empty() ? "" : ", ",
                             a,
                             b,
                             c,
                             a,
                             b,
                             c,
                             a == 0 ? "\"CompilationFailedConfig\"" : fmt::format("{}", time));
      }
    }
  }
  return fmt::format(R"({{"device_name": "D", "kernel_name": "valley", "problem_size": 8,
      "tune_params_keys": ["a", "b", "c"],
      "tune_params": {{"a": [{0}], "b": [{0}], "c": [{0}]}}, "cache": {{{1}}}}})",
                     keys,
                     cache);
}

const evaluators::RecordedTable& valley() {
  static const evaluators::RecordedTable table = [] {
    auto parsed = evaluators::RecordedTable::parse(valley_text(), "valley.json");
    INFO((parsed.ok() ? "" : parsed.error().message));
    REQUIRE(parsed.ok());
    return std::move(parsed).value();
  }();
  return table;
}

Simulation play(const std::string& strategy, int seeds, std::int64_t budget, std::uint64_t seed) {
  InlineExecutor executor;
  auto done = simulate(valley(), {strategy, budget, seeds, seed}, executor);
  REQUIRE(done.ok());
  return std::move(done).value();
}

}  // namespace

TEST_CASE("each strategy spends its budget on different points, failures included") {
  for (const std::string& strategy : simulated_strategies()) {
    CAPTURE(strategy);
    const Simulation simulation = play(strategy, 2, 60, 7);
    REQUIRE(simulation.searches.size() == 2);
    for (const SimulatedSearch& search : simulation.searches) {
      CHECK(search.best.size() == 60);
      CHECK(std::is_sorted(search.best.rbegin(), search.best.rend()));
      CHECK(fraction_at(simulation, search, 60) > 0.6);
    }
    CHECK(simulation.searches[0].best != simulation.searches[1].best);
  }
}

TEST_CASE("the same seed plays the same search, another one does not") {
  for (const std::string& strategy : simulated_strategies()) {
    CAPTURE(strategy);
    const Simulation once = play(strategy, 3, 40, 11);
    const Simulation again = play(strategy, 3, 40, 11);
    const Simulation other = play(strategy, 3, 40, 12);
    std::set<std::uint64_t> seeds;
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(once.searches[i].best == again.searches[i].best);
      seeds.insert(once.searches[i].seed);
      seeds.insert(other.searches[i].seed);
    }
    CHECK(seeds.size() == 6);
  }
}

TEST_CASE("a table smaller than the budget is tried whole, and the optimum found") {
  for (const std::string strategy : {"random", "genetic", "annealing"}) {
    CAPTURE(strategy);
    const Simulation simulation = play(strategy, 1, 5000, 3);
    CHECK(simulation.searches[0].best.size() == 512);
    CHECK(fraction_at(simulation, simulation.searches[0], 5000) == 1.0);
    CHECK(evaluations_to(simulation, simulation.searches[0], 0.0).has_value());
  }
}

TEST_CASE("fractions, medians and counts are what the curves say") {
  Simulation simulation;
  simulation.optimum = 1.0;
  simulation.budget = 60;
  const double never = std::numeric_limits<double>::infinity();
  simulation.searches = {{1, {never, 2.0, 1.04, 1.0}, 0.004}, {2, {4.0}, 0.002}};
  CHECK(fraction_at(simulation, simulation.searches[0], 1) == 0.0);
  CHECK(fraction_at(simulation, simulation.searches[0], 2) == 0.5);
  CHECK(evaluations_to(simulation, simulation.searches[0], 0.05) == 3);
  CHECK(evaluations_to(simulation, simulation.searches[0], 0.01) == 4);
  CHECK(!evaluations_to(simulation, simulation.searches[1], 0.05));
  const SimulationSummary sum = summarise(simulation);
  CHECK(*sum.fraction[0] == Approx(0.625));  // after 20: 1.0 and 0.25
  CHECK(*sum.worst[1] == 0.25);
  CHECK(!sum.fraction[2]);     // 100 is beyond the budget
  CHECK(!sum.median_to_5pct);  // one of two never got there
  CHECK(sum.within_5pct_at_200 == 0.5);
  CHECK(sum.planner_ms_per_evaluation == Approx(1.5));
}

TEST_CASE("coppice simulate answers in text and JSON, and refuses what it does not know") {
  tests::TemporaryFolder folder;
  const std::string path = folder / "valley.json";
  std::ofstream(path) << valley_text();
  const tests::Said text =
      tests::say({"simulate", path, path, "--strategy", "random", "--seeds", "2"});
  CHECK(text.status == 0);
  CHECK(contains(text.out, "valley on D"));
  const tests::Said json = tests::say(
      {"simulate", path, "--seeds", "2", "--budget", "50", "--strategy", "genetic", "--json"});
  CHECK(json.status == 0);
  CHECK(contains(json.out, "\"configurations\":512"));
  CHECK(contains(json.out, "\"100\":null"));
  const tests::Said wrong = tests::say({"simulate", path, "--strategy", "magic"});
  CHECK(wrong.status == 2);
  CHECK(contains(wrong.err, "found \"magic\""));
  const tests::Said lost = tests::say({"simulate", folder / "none.json"});
  CHECK(lost.status != 0);
  CHECK(contains(lost.err, "none.json"));
}

TEST_CASE("coppice simulate plays on generated landscapes too") {
  const tests::Said one = tests::say({"simulate",
                                      "synthetic:plateaus/2",
                                      "--strategy",
                                      "random",
                                      "--seeds",
                                      "1",
                                      "--budget",
                                      "20",
                                      "--json"});
  CHECK(one.status == 0);
  CHECK(contains(one.out, "\"table\":\"synthetic:plateaus/2\""));
  const tests::Said all = tests::say(
      {"simulate", "synthetic:all", "--strategy", "random", "--seeds", "1", "--budget", "20"});
  CHECK(all.status == 0);
  CHECK(contains(all.out, "synthetic:smooth/0"));
  CHECK(contains(all.out, "synthetic:stencil_model/0"));
  const tests::Said flat = tests::say({"simulate", "synthetic:flat"});
  CHECK(flat.status == 2);
  CHECK(contains(flat.err, "expected one of smooth"));
  const tests::Said number = tests::say({"simulate", "synthetic:smooth/x"});
  CHECK(number.status == 2);
  CHECK(contains(number.err, "found \"x\""));
}

TEST_CASE("a search that starts from a sibling's table is sooner good than a cold one") {
  tests::TemporaryFolder folder;
  const std::string path = folder / "valley.json";
  std::ofstream(path) << valley_text();
  const auto median = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"simulate", path, "--seeds", "5", "--budget", "60", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const tests::Said said = tests::say(words);
    CAPTURE(said.err);
    REQUIRE(said.status == 0);
    const auto json = Json::parse(said.out, "out");
    return *json->reader("out").at("tables")->items()->front().at("median_to_1pct")->real();
  };
  const double cold = median({});
  const double warm = median({"--warm", "derived:sibling/1:" + path});
  const double order = median({"--warm", "derived:sibling/1:" + path, "--strategy", "log_order"});
  CHECK(warm < cold);
  CHECK(warm <= order + 5.0);
}

TEST_CASE(
    "the others of --warm are the other tables with the same axes, and --warm is refused where it "
    "would do nothing") {
  tests::TemporaryFolder folder;
  const std::string path = folder / "valley.json";
  std::ofstream(path) << valley_text();
  const tests::Said others = tests::say({"simulate",
                                         path,
                                         "derived:sibling/2:" + path,
                                         "synthetic:smooth/0",
                                         "--seeds",
                                         "1",
                                         "--budget",
                                         "5",
                                         "--warm",
                                         "others",
                                         "--json"});
  CAPTURE(others.err);
  REQUIRE(others.status == 0);
  const auto json = Json::parse(others.out, "out");
  const auto tables = *json->reader("out").at("tables")->items();
  CHECK(*tables[0].at("warm")->texts() ==
        std::vector<std::string>{"derived:sibling/2 of valley on D"});
  CHECK(*tables[1].at("warm")->texts() == std::vector<std::string>{"valley on D"});
  CHECK(tables[2].at("warm")->texts()->empty());
  const tests::Said random =
      tests::say({"simulate", path, "--strategy", "random", "--warm", "derived:sibling/1:" + path});
  CHECK(random.status == 2);
  CHECK(contains(random.err, "only strategies coppice and log_order"));
  const tests::Said nothing = tests::say({"simulate", path, "--strategy", "log_order"});
  CHECK(nothing.status == 2);
  const tests::Said missing = tests::say({"simulate", path, "--warm", folder / "nowhere"});
  CHECK(missing.status != 0);
  CHECK(contains(missing.err, "expected a recorded table or the folder of a run"));
  const tests::Said unknown = tests::say({"simulate", path, "--warm", "derived:twin/1:" + path});
  CHECK(unknown.status == 2);
  CHECK(contains(unknown.err, "sibling, cousin, mirror"));
}

TEST_CASE("a part that --off names is not used, and what can't be off is refused") {
  InlineExecutor executor;
  const auto with = [&](const std::vector<std::string>& off) {
    SimulationOptions options;
    options.budget = 60;
    options.seeds = 2;
    options.off = off;
    return simulate(valley(), options, executor);
  };
  const auto whole = with({});
  const auto blind = with({"world_model", "tree"});
  REQUIRE(whole.ok());
  REQUIRE(blind.ok());
  CHECK(whole->searches[0].best != blind->searches[0].best);
  CHECK(whole->searches[0].coverage.predictions > 0);
  CHECK(blind->searches[0].coverage.predictions == 0);
  const auto unknown = with({"world model"});
  REQUIRE_FALSE(unknown.ok());
  CHECK(contains(unknown.error().message, "world_model, frontier, evolution, memory, tree, warm"));
  tests::TemporaryFolder folder;
  const std::string path = folder / "valley.json";
  std::ofstream(path) << valley_text();
  const tests::Said random =
      tests::say({"simulate", path, "--strategy", "random", "--off", "world_model"});
  CHECK(random.status == 2);
  CHECK(contains(random.err, "only strategy coppice"));
  const tests::Said said = tests::say(
      {"simulate", path, "--off", "world_model,tree", "--seeds", "1", "--budget", "5", "--json"});
  REQUIRE(said.status == 0);
  const auto json = Json::parse(said.out, "out");
  CHECK(*json->reader("out").at("tables")->items()->at(0).at("off")->texts() ==
        std::vector<std::string>{"world_model", "tree"});
}

TEST_CASE(
    "with attempts in flight the whole budget is spent, and later knowledge costs something") {
  tests::TemporaryFolder folder;
  const std::string path = folder / "valley.json";
  std::ofstream(path) << valley_text();
  const auto run = [&](const char* lanes) {
    const tests::Said said = tests::say(
        {"simulate", path, "--seeds", "3", "--budget", "60", "--lanes", lanes, "--json"});
    CAPTURE(said.err);
    REQUIRE(said.status == 0);
    return Json::parse(said.out, "out").value();
  };
  const Json one = run("1");
  const Json many = run("8");
  CHECK(one.dump() != many.dump());
  for (const Json* json : {&one, &many}) {
    const JsonReader table = json->reader("out").at("tables")->items()->front();
    const auto played = *table.at("per_seed")->items();
    for (const JsonReader& seed : played) {
      CHECK(*seed.at("evaluations")->integer() == 60);
    }
    CHECK(*table.at("fraction")->at("50")->real() > 0.8);
    CHECK(*table.at("coverage_after_50")->at("predictions")->integer() > 0);
  }
  const tests::Said refused =
      tests::say({"simulate", path, "--strategy", "genetic", "--lanes", "4"});
  CHECK(refused.status == 2);
}
