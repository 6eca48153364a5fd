// The rule mutators: one contract for all of them, and what each is for.
#include "core/space_walk.h"
#include "mutators/table.h"
#include "tests/support/catch.h"

#include <map>
#include <set>

using namespace coppice;
using namespace coppice::mutators;

namespace {

Axis axis(std::string name, AxisType type, std::vector<Value> levels, bool structural = false) {
  Axis out;
  out.name = std::move(name);
  out.type = type;
  out.levels = std::move(levels);
  out.structural = structural;
  return out;
}

std::int64_t n(std::int64_t value) {
  return value;
}

AxisSpace space_of_five() {
  auto space = AxisSpace::create(
      {axis("fuse", AxisType::boolean, {false, true}, true),
       axis("tile", AxisType::ordinal, {n(8), n(16), n(32), n(64), n(128)}),
       axis("stages", AxisType::integer, {n(1), n(2), n(3), n(4)}),
       axis("load", AxisType::categorical, {std::string("a"), std::string("b"), std::string("c")}),
       axis("vec", AxisType::ordinal, {n(1), n(2), n(4), n(8)})},
      {*Expr::parse("tile * vec <= 256"), *Expr::parse("not fuse or stages > 1")});
  REQUIRE(space.ok());
  return *space;
}

// A scene with two elites, an incumbent, a failure, and a few points that are known already.
struct Stage {
  AxisSpace space = space_of_five();
  std::set<Genome> known;
  std::map<Genome, std::vector<Genome>> lists;
  std::vector<Pin> pins;

  Scene scene() {
    Scene scene;
    scene.space = &space;
    scene.pins = pins;
    const Genome good{{0, 2, 1, 1, 2}};
    const Genome other{{1, 3, 2, 0, 1}};
    scene.elites = {{{1}, good, 0.5}, {{2}, other, 0.7}};
    scene.incumbent = Parent{{1}, good, 0.5};
    scene.failed = Failed{{3}, {{0, 2, 3, 2, 0}}, "crash"};
    known.insert({good, other, scene.failed->genome, Genome{{0, 2, 1, 1, 1}}});
    scene.neighbours = [this](const Genome& genome) -> const std::vector<Genome>& {
      return lists.try_emplace(genome, neighbours(space, genome, false)).first->second;
    };
    scene.is_new = [this](const Genome& genome) {
      return holds_pins(pins, genome) && !known.contains(genome);
    };
    scene.draw = [this](Rng& rng) -> std::optional<Genome> {
      for (int i = 0; i < 200; ++i) {
        auto genome = sample(space, rng);
        if (genome && holds_pins(pins, *genome) && !known.contains(*genome)) {
          return genome;
        }
      }
      return std::nullopt;
    };
    return scene;
  }
};

int changed(const Genome& a, const Genome& b) {
  int count = 0;
  for (std::size_t i = 0; i < a.levels.size(); ++i) {
    count += a.levels[i] != b.levels[i] ? 1 : 0;
  }
  return count;
}

std::vector<Idea> ideas_of(const Mutator& mutator, const Scene& scene, std::uint64_t seed = 1) {
  Rng rng = stream(seed, "rules_test", 0);
  return mutator.propose(scene, rng);
}

}  // namespace

TEST_CASE("every mutator gives new, valid, pinned, distinct ideas, the same for the same numbers") {
  for (const bool pinned : {false, true}) {
    for (const auto& mutator : rule_mutators()) {
      INFO(mutator->name());
      Stage stage;
      if (pinned) {
        stage.pins = {{1, 2}};
      }
      Scene scene = stage.scene();
      scene.limit = 20;
      const std::vector<Idea> ideas = ideas_of(*mutator, scene);
      const std::vector<Idea> again = ideas_of(*mutator, scene);
      REQUIRE(again.size() == ideas.size());
      CHECK(ideas.size() <= 20);
      CHECK(!ideas.empty());
      std::set<Genome> seen;
      for (std::size_t i = 0; i < ideas.size(); ++i) {
        CHECK(ideas[i].genome == again[i].genome);
        CHECK(scene.is_new(ideas[i].genome));
        CHECK(stage.space.valid(ideas[i].genome));
        CHECK(!mutator->explain(scene, ideas[i]).empty());
        const bool first_time = seen.insert(ideas[i].genome).second;
        // Two parents may share a neighbour; the caller keeps the first.
        CHECK((first_time || mutator->name() == "axis_step"));
      }
    }
  }
}

TEST_CASE("every mutator copes with an empty scene") {
  for (const auto& mutator : rule_mutators()) {
    Stage stage;
    Scene scene = stage.scene();
    scene.elites.clear();
    scene.incumbent.reset();
    scene.failed.reset();
    scene.draw = [](Rng&) {
      return std::nullopt;
    };
    for (const Idea& idea : ideas_of(*mutator, scene)) {
      CHECK(!mutator->explain(scene, idea).empty());
    }
  }
}

TEST_CASE("axis_step moves ordered axes by one level and categorical ones to any") {
  Stage stage;
  Scene scene = stage.scene();
  const auto step = make_axis_step();
  bool far_category = false;
  for (const Idea& idea : ideas_of(*step, scene)) {
    const Genome& from = *genome_of(scene, idea.parents.at(0));
    CHECK(changed(from, idea.genome) == 1);
    for (const std::size_t ordered : {1, 2, 4}) {
      CHECK(std::abs(int{from.levels[ordered]} - int{idea.genome.levels[ordered]}) <= 1);
    }
    far_category = far_category || std::abs(int{from.levels[3]} - int{idea.genome.levels[3]}) == 2;
  }
  CHECK(far_category);
}

TEST_CASE("local_exhaustive offers every untried single-axis change of the incumbent") {
  Stage stage;
  Scene scene = stage.scene();
  std::set<Genome> wanted;
  for (const Genome& genome : neighbours(stage.space, scene.incumbent->genome, false)) {
    if (scene.is_new(genome)) {
      wanted.insert(genome);
    }
  }
  std::set<Genome> offered;
  for (const Idea& idea : ideas_of(*make_local_exhaustive(), scene)) {
    offered.insert(idea.genome);
  }
  CHECK(offered == wanted);
}

TEST_CASE("crossover takes every level from one of its two parents") {
  Stage stage;
  Scene scene = stage.scene();
  for (const Idea& idea : ideas_of(*make_crossover(), scene)) {
    REQUIRE(idea.parents.size() == 2);
    const Genome& a = *genome_of(scene, idea.parents[0]);
    const Genome& b = *genome_of(scene, idea.parents[1]);
    for (std::size_t i = 0; i < a.levels.size(); ++i) {
      const std::uint16_t level = idea.genome.levels[i];
      CHECK((level == a.levels[i] || level == b.levels[i]));
    }
  }
}

TEST_CASE("structural_switch changes the structure and keeps what it can of the best") {
  Stage stage;
  Scene scene = stage.scene();
  bool switched = false;
  for (const Idea& idea : ideas_of(*make_structural_switch(), scene)) {
    switched = switched || idea.genome.levels[0] == 1;
    CHECK(changed(scene.elites[0].genome, idea.genome) <= 2);
  }
  CHECK(switched);
}

TEST_CASE("repair sets one axis of the failure back to what works, or steps aside") {
  Stage stage;
  Scene scene = stage.scene();
  const std::vector<Idea> ideas = ideas_of(*make_repair(), scene);
  REQUIRE(!ideas.empty());
  // The failure differs from the incumbent in three axes; the first idea puts one of them back.
  CHECK(changed(ideas[0].genome, scene.failed->genome) == 1);
  CHECK(changed(ideas[0].genome, scene.incumbent->genome) == 2);
  CHECK(make_repair()->explain(scene, ideas[0]).find("repair of candidate 3 (crash)") == 0);
}
