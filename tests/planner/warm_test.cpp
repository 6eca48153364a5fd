// Warm start: what logs of others say, how far they are believed, and when they are let go.
#include "core/random.h"
#include "planner/warm_prior.h"
#include "planner/warm_trust.h"
#include "planner/world_model.h"
#include "tests/support/catch.h"

#include <cmath>

using namespace coppice;
using namespace coppice::planner;

namespace {

Axis numbers(std::string name, std::vector<std::int64_t> levels) {
  Axis axis;
  axis.name = std::move(name);
  for (const std::int64_t level : levels) {
    axis.levels.emplace_back(level);
  }
  return axis;
}

SearchSpace space_of(std::vector<Axis> axes) {
  SearchSpace out(1);
  out[0].name = "here";
  out[0].space = *AxisSpace::create(std::move(axes), {});
  return out;
}

SearchSpace plain_space() {
  return space_of({numbers("tile", {8, 16, 32, 64, 128}), numbers("unroll", {1, 2, 4, 8})});
}

double bowl(std::size_t tile, std::size_t unroll) {
  const double a = static_cast<double>(tile) - 3.0;
  const double b = static_cast<double>(unroll) - 1.0;
  return 0.2 * a * a + 0.1 * b * b;
}

// A log over the same axes: `sign` -1 turns it upside down.
WarmSource log_of(const SearchSpace& space, double sign, std::string name = "log") {
  WarmSource out;
  out.name = std::move(name);
  WarmTemplate& one = out.templates.emplace_back();
  one.name = "there";
  for (const Axis& axis : space[0].space.axes()) {
    one.axes.push_back({axis.name, axis.type, axis.levels});
  }
  for (std::uint16_t t = 0; t < one.axes[0].levels.size(); ++t) {
    for (std::uint16_t u = 0; u < one.axes[1].levels.size(); ++u) {
      one.rows.push_back({{t, u}, 5.0 + sign * bowl(t, u)});
    }
  }
  return out;
}

Point at(std::uint16_t tile, std::uint16_t unroll) {
  return {0, Genome{{tile, unroll}}};
}

std::vector<Point> all_points() {
  std::vector<Point> out;
  for (std::uint16_t t = 0; t < 5; ++t) {
    for (std::uint16_t u = 0; u < 4; ++u) {
      out.push_back(at(t, u));
    }
  }
  return out;
}

Observation seen(const Point& point, double log_cost) {
  Observation out;
  out.point = point;
  out.valid = true;
  out.log_cost = log_cost;
  return out;
}

}  // namespace

TEST_CASE("warm-start data survives its JSON, and bad data is refused with its place") {
  WarmSource source = log_of(plain_space(), 1.0);
  source.templates[0].rows[3].log_cost.reset();
  const Json json = to_json(source);
  const auto again = warm_source(json.reader("log"));
  REQUIRE(again.ok());
  CHECK(*again == source);
  const std::vector<std::pair<std::string, std::string>> bad = {
      {R"({"schema": 2, "name": "a", "templates": []})", "/schema"},
      {R"({"schema": 1, "name": "a", "templates": []})", "at least one row"},
      {R"({"schema": 1, "name": "a", "templates": [{"name": "t", "axes":
          [{"name": "x", "type": "ordinal", "levels": [1, 2]}], "rows": [[2, 0.5]]}]})",
       "/templates/0/rows/0/0"},
      {R"({"schema": 1, "name": "a", "templates": [{"name": "t", "axes":
          [{"name": "x", "type": "ordinal", "levels": [1, 2]}], "rows": [[0.5]]}]})",
       "a level for each axis and a cost"},
      {R"({"schema": 1, "name": "a", "templates": [{"name": "t", "axes":
          [{"name": "x", "type": "ordinal", "levels": [1, 2]}], "rows": [[0, "nan"]]}]})",
       "a finite cost"}};
  for (const auto& [text, expected] : bad) {
    const auto parsed = Json::parse(text, "log");
    REQUIRE(parsed.ok());
    const auto refused = warm_source(parsed->reader("log"));
    CAPTURE(text);
    REQUIRE(!refused.ok());
    CHECK(refused.error().message.find(expected) != std::string::npos);
  }
}

TEST_CASE("a point that a log measured is looked up by its values, whatever their order") {
  const SearchSpace space = plain_space();
  InlineExecutor executor;
  const SearchSpace turned =
      space_of({numbers("unroll", {8, 4, 2, 1}), numbers("tile", {8, 16, 32, 64, 128})});
  WarmSource source;
  source.name = "turned";
  WarmTemplate& one = source.templates.emplace_back();
  for (const Axis& axis : turned[0].space.axes()) {
    one.axes.push_back({axis.name, axis.type, axis.levels});
  }
  one.rows = {{{3, 3}, 1.0}, {{0, 3}, 1.5}, {{1, 2}, std::nullopt}};  // unroll 1, 8, 4
  const WarmPrior prior(space, {source}, executor);
  REQUIRE(prior.usable(0));
  const auto said = prior.ask(std::vector<Point>{at(3, 0), at(3, 3), at(2, 2)});
  CHECK(said[0].slow == 0.0);
  CHECK(said[1].slow == Approx(0.5));
  CHECK(said[2].fails == 1.0);
  CHECK(prior.favourites(1) == std::vector<Point>{at(3, 0)});
}

TEST_CASE("of a level that a log does not know its own model says what to expect") {
  InlineExecutor executor;
  const SearchSpace wider =
      space_of({numbers("tile", {8, 16, 32, 48, 64, 128}), numbers("unroll", {1, 2, 4, 8})});
  const WarmPrior prior(wider, {log_of(plain_space(), 1.0)}, executor);
  // 48 lies between 32 and 64, which do well; far from 8.
  const auto said = prior.ask(std::vector<Point>{at(3, 1), at(0, 1)});
  CHECK(said[0].slow < 0.5);
  CHECK(said[1].slow > said[0].slow + 0.3);
}

TEST_CASE("a log without a common axis is of no use, and the model starts cold") {
  InlineExecutor executor;
  const SearchSpace here = plain_space();
  const SearchSpace other = space_of({numbers("foo", {1, 2}), numbers("bar", {1, 2, 3})});
  const WarmSource strange = log_of(other, 1.0);
  CHECK(!WarmPrior(here, {strange}, executor).usable(0));
  const WorldModel model(here, 1, executor, {}, {strange});
  CHECK(!model.warm());
  CHECK(!model.ready());
}

TEST_CASE("before any measurement a warm model ranks points as the log does") {
  InlineExecutor executor;
  const SearchSpace space = plain_space();
  const WorldModel model(space, 1, executor, {}, {log_of(space, 1.0)});
  REQUIRE(model.warm());
  REQUIRE(model.ready());
  const std::vector<Belief> beliefs = model.predict(all_points());
  std::size_t best = 0;
  for (std::size_t i = 1; i < beliefs.size(); ++i) {
    best = beliefs[i].mean < beliefs[best].mean ? i : best;
  }
  CHECK(all_points()[best] == at(3, 1));
}

TEST_CASE("a log that is upside down is let go within ten measurements, an honest one is kept") {
  InlineExecutor executor;
  const SearchSpace space = plain_space();
  for (const double sign : {1.0, -1.0}) {
    WorldModel model(space, 1, executor, {}, {log_of(space, sign)});
    Rng rng = stream(3, "test", 0);
    for (int i = 0; i < 10; ++i) {
      const Point point = all_points()[rng.below(20)];
      model.observe(seen(point, bowl(point.genome.levels[0], point.genome.levels[1])));
    }
    CAPTURE(sign);
    CHECK(model.warm() == (sign > 0.0));
    CHECK(model.ready());
  }
}

TEST_CASE("a model that let its log go predicts as one that never had it") {
  InlineExecutor executor;
  const SearchSpace space = plain_space();
  WorldModel cold(space, 1, executor);
  WorldModel warm(space, 1, executor, {}, {log_of(space, -1.0)});
  for (const Point& point : all_points()) {
    const Observation one = seen(point, bowl(point.genome.levels[0], point.genome.levels[1]));
    cold.observe(one);
    warm.observe(one);
  }
  REQUIRE(!warm.warm());
  for (const Point& point : all_points()) {
    const double difference =
        cold.predict(std::span(&point, 1))[0].mean - warm.predict(std::span(&point, 1))[0].mean;
    CHECK(std::fabs(difference) < 0.2);
  }
}

TEST_CASE("of three logs the one that disagrees with the others is believed less beforehand") {
  std::vector<double> slow;
  for (int i = 0; i < 40; ++i) {
    const double x = 0.1 * i;
    slow.insert(slow.end(), {x, x + 0.01 * (i % 3), 4.0 - x});
  }
  const std::vector<double> beliefs = beliefs_in(slow, {true, true, true});
  CHECK(beliefs[2] < beliefs[0]);
  CHECK(beliefs[2] < beliefs[1]);
  CHECK(beliefs_in(slow, {true, false, true})[1] == 0.0);
}

TEST_CASE("trust follows the measured rank correlation, source by source") {
  std::vector<std::vector<double>> said;
  std::vector<Comparison> comparisons;
  for (int i = 0; i < 12; ++i) {
    said.push_back({0.1 * i, 0.1 * ((i * 7) % 12), 1.2 - 0.1 * i});
  }
  for (std::size_t i = 0; i < said.size(); ++i) {
    comparisons.push_back({said[i], 2.0 + 0.1 * static_cast<double>(i)});
  }
  const WarmTrust trust = judge_warm(comparisons, std::vector<double>{0.7, 0.7, 0.7});
  CHECK(trust.rank_correlation[0] == Approx(1.0));
  CHECK(trust.rank_correlation[2] == Approx(-1.0));
  CHECK(trust.held);
  CHECK(trust.weight[0] > 0.8);
  CHECK(trust.weight[2] == 0.0);
  CHECK(trust.slope == Approx(1.0).epsilon(0.2));
  const WarmTrust none = judge_warm(std::vector<Comparison>{}, std::vector<double>{0.0, 0.0, 0.0});
  CHECK(!none.held);
  CHECK(none.expect(said[3]) == 0.0);
}
