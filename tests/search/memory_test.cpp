// What the search remembers of earlier runs: dead ends, how sure they are, and what they change.
#include "search/memory.h"

#include "core/executor.h"
#include "tests/search/fake_world.h"
#include "tests/support/text.h"

#include <set>

using namespace coppice;
using namespace coppice::test;

namespace {

SearchSpace small_space() {
  return {
      template_space("plain", {ordinal("tile", {8, 16, 32, 64}), ordinal("unroll", {1, 2, 4})})};
}

// A log of every point of small_space() in which `dead` levels of "tile" never work; `unroll`: only
// rows with this level of it.
planner::WarmSource log_of(const std::string& name,
                           const std::set<std::uint16_t>& dead,
                           std::optional<std::uint16_t> unroll = std::nullopt,
                           int copies = 2) {
  planner::WarmSource out;
  out.name = name;
  planner::WarmTemplate rows;
  rows.name = "plain";
  const SearchSpace space = small_space();
  for (const Axis& axis : space.front().space.axes()) {
    rows.axes.push_back({axis.name, axis.type, axis.levels});
  }
  for (std::uint16_t tile = 0; tile < 4; ++tile) {
    for (std::uint16_t level = 0; level < 3; ++level) {
      for (int i = 0; i < copies && (!unroll || *unroll == level); ++i) {
        planner::WarmRow row;
        row.levels = {tile, level};
        if (dead.count(tile) == 0) {
          row.log_cost = 0.1 * tile + 0.01 * level;
        }
        rows.rows.push_back(row);
      }
    }
  }
  out.templates.push_back(std::move(rows));
  return out;
}

struct Seen {
  std::set<std::uint16_t> tiles;  // that were proposed
  std::string edits;
};

Seen play(bool memory, const std::vector<planner::WarmSource>& logs, const World& world) {
  search::EngineSetup setup = setup_for(small_space(), 40);
  setup.options.memory = memory;
  setup.options.finalists = 0;
  setup.options.promote = false;
  for (const planner::WarmSource& log : logs) {
    setup.warm.push_back(planner::to_json(log));
  }
  InlineExecutor executor;
  Seen seen;
  Play play(
      std::move(setup),
      [&](const Proposed& proposed) {
        seen.tiles.insert(proposed.spec.genome.levels[0]);
        return world(proposed);
      },
      executor);
  play.run();
  for (const std::vector<std::string>& step : play.transcript.decisions) {
    for (const std::string& decision : step) {
      seen.edits += contains(decision, "edit_applied") ? decision + "\n" : "";
    }
  }
  return seen;
}

}  // namespace

TEST_CASE("a level that never worked is a dead end, as sure as there are logs that show it") {
  const SearchSpace space = small_space();
  const planner::WarmSource one = log_of("one", {3});
  const planner::WarmSource two = log_of("two", {3});
  const planner::WarmSource three = log_of("three", {3, 1});
  const auto maturity = [&](const std::vector<planner::WarmSource>& logs) {
    const search::Memory memory(space, logs);
    REQUIRE_FALSE(memory.facts().empty());
    CHECK(memory.facts().front().level == 3);
    return std::string(to_text(memory.facts().front().maturity));
  };
  CHECK(maturity({one}) == "tentative");
  CHECK(maturity({one, two}) == "confirmed");
  CHECK(maturity({one, two, three}) == "established");
  const search::Memory memory(space, {one, two, three});
  REQUIRE(memory.facts().size() == 1);  // tile 1 works in two logs
  CHECK(memory.facts().front().attempts == 18);
  CHECK(memory.facts().front().evidence == "6 of one, 6 of two, 6 of three");
  CHECK(memory.avoids(0, {{3, 1}}));
  CHECK_FALSE(memory.avoids(0, {{2, 1}}));
  CHECK_FALSE(search::Memory(space, {one}).avoids(0, {{3, 1}}));
}

TEST_CASE("what always held beside a dead end is its prerequisite") {
  const SearchSpace space = small_space();
  const search::Memory memory(space, {log_of("one", {3}, 1, 6), log_of("two", {3}, 1, 6)});
  REQUIRE(memory.facts().size() == 1);
  const search::DeadEnd& fact = memory.facts().front();
  REQUIRE(fact.prerequisites.size() == 1);
  CHECK(fact.prerequisites.front() == std::pair<std::size_t, std::uint16_t>(1, 1));
  CHECK(memory.avoids(0, {{3, 1}}));
  CHECK_FALSE(memory.avoids(0, {{3, 2}}));  // never seen so: nothing is known
}

TEST_CASE("a template's default is never kept out, and a valid point ends the fact") {
  const SearchSpace space = small_space();
  search::Memory memory(space, {log_of("one", {0}), log_of("two", {0})});
  CHECK_FALSE(memory.avoids(0, {{0, 0}}));
  CHECK(memory.avoids(0, {{0, 1}}));
  CHECK(memory.contradicted(0, {{1, 0}}).empty());
  CHECK(memory.contradicted(0, {{0, 0}}).size() == 1);
  CHECK_FALSE(memory.avoids(0, {{0, 1}}));
  CHECK(memory.facts().empty());
}

TEST_CASE("memory keeps attempts out of confirmed dead ends and says why; memory=off does not") {
  const std::vector<planner::WarmSource> logs = {log_of("monday", {3}), log_of("tuesday", {3})};
  const World world = [](const Proposed& proposed) {
    Answer answer = bowl(proposed);
    answer.failure = proposed.spec.genome.levels[0] == 3 ? FailureClass::crash : answer.failure;
    return answer;
  };
  const Seen with = play(true, logs, world);
  CHECK(with.tiles == std::set<std::uint16_t>{0, 1, 2});
  CHECK(contains(with.edits, "memory: a dead end, confirmed"));
  CHECK(contains(with.edits, "12 attempts and not one valid (6 of monday, 6 of tuesday)"));
  const Seen without = play(false, logs, world);
  CHECK(without.tiles == std::set<std::uint16_t>{0, 1, 2, 3});
  CHECK_FALSE(contains(without.edits, "memory:"));
  // Without logs there is nothing to remember.
  CHECK(play(true, {}, world).edits == play(false, {}, world).edits);
}

TEST_CASE("a valid default where memory saw a dead end brings the level back") {
  const std::vector<planner::WarmSource> logs = {log_of("monday", {0}), log_of("tuesday", {0})};
  const Seen seen = play(true, logs, bowl);
  CHECK(seen.tiles == std::set<std::uint16_t>{0, 1, 2, 3});
  CHECK(contains(seen.edits, "memory was wrong: candidate"));
}
