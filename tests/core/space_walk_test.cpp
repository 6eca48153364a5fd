// Walks over spaces: the same answers as brute force, and bounded work where that is impossible.
#include "core/space_walk.h"

#include "tests/support/autotune_spaces.h"
#include "tests/support/catch.h"
#include "tests/support/cpu_time.h"

#include <algorithm>
#include <map>
#include <set>

using namespace coppice;

namespace {

Axis axis_of(std::string name, std::size_t levels, const char* when = nullptr) {
  Axis out;
  out.name = std::move(name);
  for (std::size_t i = 1; i <= levels; ++i) {
    out.levels.emplace_back(static_cast<std::int64_t>(i));
  }
  if (when != nullptr) {
    out.when = *Expr::parse(when);
  }
  return out;
}

AxisSpace make(std::vector<Axis> axes, const std::vector<const char*>& restrictions) {
  std::vector<Expr> parsed;
  for (const char* text : restrictions) {
    parsed.push_back(*Expr::parse(text));
  }
  return *AxisSpace::create(std::move(axes), std::move(parsed));
}

AxisSpace conditional_space() {
  Axis mode = axis_of("mode", 3);
  mode.type = AxisType::categorical;
  return make(
      {axis_of("a", 4), mode, axis_of("b", 5, "mode == 2"), axis_of("c", 4, "a > 2 or mode == 3")},
      {"a * b <= 8", "not (mode == 3 and c == 2)", "b != 3 or a == 1"});
}

std::vector<Genome> brute_force(const AxisSpace& space) {
  std::vector<Genome> out;
  Genome genome;
  genome.levels.assign(space.size(), 0);
  while (true) {
    if (space.valid(genome)) {
      out.push_back(genome);
    }
    std::size_t i = space.size();
    while (i > 0 && ++genome.levels[i - 1] == space.axis(i - 1).levels.size()) {
      genome.levels[--i] = 0;
    }
    if (i == 0) {
      return out;
    }
  }
}

std::size_t changed(const Genome& a, const Genome& b) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.levels.size(); ++i) {
    count += a.levels[i] != b.levels[i] ? 1 : 0;
  }
  return count;
}

// About 2 * 10^9 raw points.
AxisSpace huge_space() {
  std::vector<Axis> axes;
  for (int i = 0; i < 9; ++i) {
    axes.push_back(axis_of("x" + std::to_string(i), 11));
  }
  return make(std::move(axes),
              {"x0 * x1 * x2 * x3 * x4 * x5 * x6 * x7 * x8 <= 2000",
               "(x0 + x8) % 3 == 0",
               "x1 != x2 or x3 > x4"});
}

}  // namespace

TEST_CASE("enumeration finds exactly the valid genomes in lexicographic order") {
  for (const AxisSpace& space : {conditional_space(),
                                 make({axis_of("a", 3)}, {"a > 5"}),
                                 make({axis_of("a", 3)}, {"1 > 2"}),
                                 make({axis_of("a", 3)}, {})}) {
    const SpaceWalker walker(space);
    const std::vector<Genome> all = brute_force(space);
    REQUIRE(walker.enumerate(1000));
    CHECK(*walker.enumerate(1000) == all);
    CHECK(walker.count() == all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      CHECK(walker.nth(i) == all[i]);
    }
  }
}

TEST_CASE("the two public spaces have their published sizes") {
  const AxisSpace gemm = tests::gemm_space();
  CHECK(gemm.raw_size() == 82944);
  CHECK(SpaceWalker(gemm).count() == 17956);
  CHECK(enumerate(gemm, 17956)->size() == 17956);
  CHECK(!enumerate(gemm, 17955));
  const AxisSpace convolution = tests::convolution_space();
  CHECK(convolution.raw_size() == 10240);
  CHECK(SpaceWalker(convolution).count() == 4362);
  CHECK(enumerate(convolution, 5000)->size() == 4362);
}

TEST_CASE("the walker and the space agree on what is valid") {
  const AxisSpace space = conditional_space();
  const SpaceWalker walker(space);
  Rng rng = stream(3, "test", 0);
  for (int i = 0; i < 2000; ++i) {
    Genome genome = space.default_genome();
    for (std::size_t a = 0; a < space.size(); ++a) {
      genome.levels[a] = static_cast<std::uint16_t>(rng.below(space.axis(a).levels.size()));
    }
    CHECK(walker.valid(genome) == space.valid(genome));
  }
  CHECK(!walker.valid(Genome{{0}}));
  CHECK(!walker.valid(Genome{{0, 0, 9, 0}}));
}

TEST_CASE("sampling is uniform over the valid genomes") {
  const AxisSpace space = conditional_space();
  const SpaceWalker walker(space);
  const std::size_t size = *walker.count();
  Rng rng = stream(1, "test", 0);
  std::map<Genome, int> seen;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    ++seen[*walker.sample(rng)];
  }
  CHECK(seen.size() == size);
  double chi2 = 0.0;
  const double expected = static_cast<double>(kDraws) / static_cast<double>(size);
  for (const auto& [genome, count] : seen) {
    chi2 += (count - expected) * (count - expected) / expected;
  }
  // Mean size - 1, standard deviation sqrt(2 size).
  CHECK(chi2 < static_cast<double>(size) + 5 * std::sqrt(2.0 * static_cast<double>(size)));
}

TEST_CASE("sampling keeps pinned axes and finds nothing where nothing is") {
  const AxisSpace space = conditional_space();
  const SpaceWalker walker(space);
  Rng rng = stream(1, "test", 1);
  const Genome from{{1, 1, 0, 0}};
  const std::vector<std::size_t> pins = {0, 1};
  std::set<Genome> seen;
  for (int i = 0; i < 200; ++i) {
    const auto genome = walker.sample_pinned(from, pins, rng);
    REQUIRE(genome);
    CHECK(walker.valid(*genome));
    CHECK(genome->levels[0] == 1);
    CHECK(genome->levels[1] == 1);
    seen.insert(*genome);
  }
  CHECK(seen.size() == 3);  // b may be 1, 2 or 4
  // b = 3 demands a = 1.
  CHECK(!walker.sample_pinned(Genome{{1, 1, 2, 0}}, std::vector<std::size_t>{0, 2}, rng));
  CHECK(!sample(make({axis_of("a", 3)}, {"a > 5"}), rng));
}

TEST_CASE("neighbours differ in one axis and are valid") {
  const AxisSpace space = make({axis_of("a", 4), axis_of("b", 4)}, {"a + b <= 6"});
  const std::vector<Genome> near = neighbours(space, Genome{{1, 1}}, true);
  CHECK(near == std::vector<Genome>{{{0, 1}}, {{2, 1}}, {{1, 0}}, {{1, 2}}});
  const std::vector<Genome> all = neighbours(space, Genome{{3, 1}}, false);
  CHECK(all == std::vector<Genome>{{{0, 1}}, {{1, 1}}, {{2, 1}}, {{3, 0}}});
}

TEST_CASE("a neighbour that switches axes off has them at their defaults") {
  const AxisSpace space = conditional_space();
  const Genome from{{0, 1, 4, 0}};  // mode == 2, b active
  REQUIRE(space.valid(from));
  const std::vector<Genome> near = neighbours(space, from, false);
  CHECK(std::find(near.begin(), near.end(), Genome{{0, 0, 0, 0}}) != near.end());
  for (const Genome& genome : near) {
    CHECK(space.valid(genome));
    CHECK(genome != from);
  }
}

TEST_CASE("repair finds the nearest valid genome by brute force's measure") {
  const AxisSpace space = conditional_space();
  const SpaceWalker walker(space);
  const std::vector<Genome> all = brute_force(space);
  Rng rng = stream(5, "test", 0);
  for (int i = 0; i < 300; ++i) {
    Genome genome = space.default_genome();
    for (std::size_t a = 0; a < space.size(); ++a) {
      genome.levels[a] = static_cast<std::uint16_t>(rng.below(space.axis(a).levels.size()));
    }
    const std::vector<std::size_t> pins = {rng.below(space.size())};
    std::size_t nearest = 99;
    for (const Genome& candidate : all) {
      if (candidate.levels[pins[0]] == genome.levels[pins[0]]) {
        nearest = std::min(nearest, changed(genome, candidate));
      }
    }
    const auto repaired = walker.repair(genome, pins, rng);
    REQUIRE(repaired.has_value() == (nearest != 99));
    if (repaired) {
      CHECK(space.valid(*repaired));
      CHECK(repaired->levels[pins[0]] == genome.levels[pins[0]]);
      CHECK(changed(genome, *repaired) == nearest);
    }
  }
}

TEST_CASE("a listed space walks as the space whose genomes it lists") {
  const AxisSpace space = conditional_space();
  std::vector<Axis> axes = space.axes();
  for (Axis& one : axes) {
    one.when.reset();
  }
  const std::vector<Genome> all = brute_force(space);
  const AxisSpace listed = *AxisSpace::create_listed(axes, all);
  const SpaceWalker walker(listed);
  CHECK(walker.count() == all.size());
  CHECK(*walker.enumerate(all.size()) == all);
  CHECK(!walker.enumerate(all.size() - 1));
  CHECK(walker.nth(3) == all[3]);
  CHECK(!walker.valid(Genome{{1, 0, 1, 0}}));
  Rng rng = stream(1, "test", 2);
  const auto sampled = walker.sample_pinned(all[5], std::vector<std::size_t>{0, 1}, rng);
  REQUIRE(sampled);
  CHECK(sampled->levels[0] == all[5].levels[0]);
  CHECK(*walker.repair(all[7], {}, rng) == all[7]);
  const auto near = walker.repair(Genome{{1, 0, 1, 0}}, {}, rng);
  REQUIRE(near);
  CHECK(changed(*near, Genome{{1, 0, 1, 0}}) == 1);
  CHECK(!AxisSpace::create_listed(axes, {all[0], all[0]}).ok());
  CHECK(!AxisSpace::create_listed(axes, {Genome{{9, 0, 0, 0}}}).ok());
}

TEST_CASE("a space of two thousand million points is walked in bounded time") {
  const double start = cpu_seconds();
  const AxisSpace space = huge_space();
  CHECK(space.raw_size() == 2357947691ULL);
  const SpaceWalker walker(space);
  Rng rng = stream(1, "test", 0);
  for (int i = 0; i < 50; ++i) {
    const auto genome = walker.sample(rng);
    REQUIRE(genome);
    CHECK(space.valid(*genome));
    for (const Genome& neighbour : walker.neighbours(*genome, true)) {
      CHECK(space.valid(neighbour));
    }
    Genome broken = *genome;
    broken.levels[0] = 10;
    const auto repaired = walker.repair(broken, std::vector<std::size_t>{0}, rng);
    REQUIRE(repaired);
    CHECK(space.valid(*repaired));
  }
  CHECK(!walker.enumerate(100000));
  CHECK(cpu_seconds() - start < 30.0);  // about one second in a release build
}

TEST_CASE("the same seed gives the same walk") {
  const AxisSpace space = huge_space();
  const SpaceWalker walker(space);
  Rng a = stream(7, "test", 0);
  Rng b = stream(7, "test", 0);
  for (int i = 0; i < 20; ++i) {
    CHECK(*walker.sample(a) == *walker.sample(b));
  }
}
