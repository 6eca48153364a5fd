// Frontier: what was tried, what cannot be, and the same answer whenever it is rebuilt.
#include "planner/frontier.h"

#include "core/random.h"
#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::planner;

namespace {

Axis axis(std::string name, std::vector<std::int64_t> levels, const char* when = nullptr) {
  Axis out;
  out.name = std::move(name);
  out.levels.assign(levels.begin(), levels.end());
  if (when != nullptr) {
    out.when = *Expr::parse(when);
  }
  return out;
}

SearchSpace two_templates() {
  SearchSpace space;
  space.push_back(TemplateSpace{
      "a",
      *AxisSpace::create({axis("tile", {16, 32, 64}), axis("stages", {1, 2, 3}, "tile > 16")},
                         {*Expr::parse("tile * stages < 192")}),
      {},
      {},
      {}});
  space.push_back(
      TemplateSpace{"b",
                    *AxisSpace::create({axis("x", {1, 2, 3, 4}), axis("y", {1, 2, 3, 4})},
                                       {*Expr::parse("x + y <= 4")}),
                    {},
                    {},
                    {}});
  return space;
}

Observation tried(std::uint32_t t, std::vector<std::uint16_t> levels, double log_cost) {
  Observation out;
  out.point = Point{t, Genome{std::move(levels)}};
  out.valid = true;
  out.log_cost = log_cost;
  return out;
}

Observation failed(std::uint32_t t, std::vector<std::uint16_t> levels, FailureClass failure) {
  Observation out;
  out.point = Point{t, Genome{std::move(levels)}};
  out.failure = failure;
  return out;
}

}  // namespace

TEST_CASE("levels that no valid point can have are infeasible, all others untried") {
  const SearchSpace space = two_templates();
  Frontier frontier(space);
  frontier.mark_infeasible();
  CHECK(frontier.level(1, 0, 3).state == LevelState::infeasible);
  CHECK(frontier.level(1, 1, 3).state == LevelState::infeasible);
  CHECK(frontier.level(1, 0, 2).state == LevelState::untried);
  CHECK(frontier.untried().size() == 3 + 3 + 3 + 3);
  CHECK(frontier.levels().size() == 3 + 3 + 4 + 4);
}

TEST_CASE("a tried level keeps its attempts, successes and best cost") {
  const SearchSpace space = two_templates();
  Frontier frontier(space);
  frontier.observe(tried(1, {0, 1}, 0.5));
  frontier.observe(tried(1, {0, 2}, 0.25));
  frontier.observe(failed(1, {0, 0}, FailureClass::crash));
  const LevelRecord& record = frontier.level(1, 0, 0);
  CHECK(record.state == LevelState::tried);
  CHECK(record.attempts == 3);
  CHECK(record.valid == 2);
  CHECK(record.best_log_cost == 0.25);
  CHECK(frontier.pair_tried(1, 0, 0, 1, 2));
  CHECK(frontier.pair_tried(1, 1, 2, 0, 0));
  CHECK(!frontier.pair_tried(1, 0, 1, 1, 2));
  CHECK(frontier.pairs_tried(1) == 3);
  CHECK(frontier.pairs_tried(0) == 0);
}

TEST_CASE("an inactive axis is not counted as tried at its default") {
  const SearchSpace space = two_templates();
  Frontier frontier(space);
  frontier.observe(tried(0, {0, 0}, 1.0));
  CHECK(frontier.level(0, 0, 0).attempts == 1);
  CHECK(frontier.level(0, 1, 0).attempts == 0);
}

TEST_CASE("what nobody is to blame for counts for nothing") {
  const SearchSpace space = two_templates();
  Frontier frontier(space);
  frontier.observe(failed(1, {0, 0}, FailureClass::infrastructure));
  CHECK(frontier.level(1, 0, 0).state == LevelState::untried);
}

TEST_CASE("a level that always fails, or never comes close, is dead, and never untried again") {
  const SearchSpace space = two_templates();
  Frontier frontier(space);
  for (int i = 0; i < 6; ++i) {
    frontier.observe(failed(1, {2, 0}, FailureClass::wrong_result));
  }
  CHECK(frontier.level(1, 0, 2).state == LevelState::dead);
  for (int i = 0; i < 12; ++i) {
    frontier.observe(tried(1, {1, 1}, 2.0));
  }
  CHECK(frontier.level(1, 0, 1).state == LevelState::tried);
  frontier.observe(tried(1, {0, 0}, 0.0));
  CHECK(frontier.level(1, 0, 1).state == LevelState::dead);
  frontier.observe(tried(1, {1, 0}, 0.1));
  CHECK(frontier.level(1, 0, 1).state == LevelState::tried);  // it came close after all
  frontier.mark_infeasible();
  for (const LevelRecord& record : frontier.untried()) {
    CHECK(record.attempts == 0);
  }
}

TEST_CASE("rebuilt from the same observations the frontier is identical, gains included") {
  const SearchSpace space = two_templates();
  InlineExecutor executor;
  const auto build = [&] {
    Frontier frontier(space);
    WorldModel model(space, 1, executor);
    frontier.mark_infeasible();
    const SpaceWalker walker(space[1].space);
    Rng rng = stream(1, "test", 0);
    for (int i = 0; i < 8; ++i) {
      const Genome genome = *walker.sample(rng);
      const Observation o =
          tried(1, genome.levels, 0.3 * genome.levels[0] - 0.1 * genome.levels[1]);
      frontier.observe(o);
      model.observe(o);
    }
    frontier.refresh(model, 0.0);
    return frontier.levels();
  };
  const std::vector<LevelRecord> first = build();
  CHECK(first == build());
  double most = 0.0;
  for (const LevelRecord& record : first) {
    CHECK(record.expected_gain >= 0.0);
    most = std::max(most, record.expected_gain);
    if (record.state == LevelState::infeasible) {
      CHECK(record.expected_gain == 0.0);
    }
  }
  CHECK(most > 0.0);
}

TEST_CASE("untried levels come most promising first") {
  const SearchSpace space = two_templates();
  InlineExecutor executor;
  Frontier frontier(space);
  WorldModel model(space, 1, executor);
  for (const auto& [x, y] : std::vector<std::pair<int, int>>{{0, 0}, {0, 1}, {1, 0}, {1, 1}}) {
    const Observation o =
        tried(1, {static_cast<std::uint16_t>(x), static_cast<std::uint16_t>(y)}, 1.0 - 0.4 * x);
    frontier.observe(o);
    model.observe(o);
  }
  frontier.refresh(model, 0.6);
  const std::vector<LevelRecord> untried = frontier.untried();
  for (std::size_t i = 1; i < untried.size(); ++i) {
    CHECK(untried[i - 1].expected_gain >= untried[i].expected_gain);
  }
}
