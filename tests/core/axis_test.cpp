// AxisSpace: what is refused at its making, and which genomes are legal.
#include "core/axis.h"

#include "tests/support/catch.h"
#include "tests/support/text.h"

using namespace coppice;

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

std::vector<Expr> exprs(const std::vector<const char*>& texts) {
  std::vector<Expr> out;
  for (const char* text : texts) {
    out.push_back(*Expr::parse(text));
  }
  return out;
}

AxisSpace sample_space() {
  Axis staging = axis("stages", {1, 2, 3}, "split > 1");
  return *AxisSpace::create({axis("tile", {16, 32, 64}), axis("split", {1, 2, 4}), staging},
                            exprs({"tile * split <= limit", "128 % (tile * split) == 0"}),
                            {{"limit", std::int64_t{128}}});
}

std::string refusal(std::vector<Axis> axes, const std::vector<const char*>& restrictions) {
  const auto space = AxisSpace::create(std::move(axes), exprs(restrictions));
  return space.ok() ? "" : space.error().message;
}

}  // namespace

TEST_CASE("a space with a broken axis or restriction is refused by name") {
  CHECK(contains(refusal({axis("a", {1}), axis("a", {2})}, {}), "axis \"a\" occurs twice"));
  CHECK(contains(refusal({axis("a", {})}, {}), "axis \"a\": expected at least one level"));
  CHECK(contains(refusal({axis("a", {4, 4})}, {}), "level 4 occurs twice"));
  CHECK(contains(refusal({axis("a", {4})}, {"a > b"}), "names \"b\", which is neither"));
  CHECK(contains(refusal({axis("a", {1}, "b > 0"), axis("b", {1})}, {}), "not an earlier axis"));
  CHECK(contains(refusal({axis("a", {1}, "a > 0")}, {}), "not an earlier axis"));
  Axis wrong = axis("a", {1, 2});
  wrong.default_level = 2;
  CHECK(contains(refusal({wrong}, {}), "default level 2 is out of range"));
  Axis mixed = axis("a", {});
  mixed.levels = {std::int64_t{4}, 4.0};
  CHECK(contains(refusal({mixed}, {}), "occurs twice"));
}

TEST_CASE(
    "a genome is valid when all restrictions hold and inactive axes stand at their defaults") {
  const AxisSpace space = sample_space();
  CHECK(space.valid(Genome{{0, 1, 2}}));
  CHECK(!space.valid(Genome{{2, 2, 0}}));  // 64 * 4 > 128
  CHECK(space.first_broken(Genome{{2, 2, 0}}) == 0);
  CHECK(!space.valid(Genome{{0, 0, 1}}));  // stages mean nothing without a split
  CHECK(space.valid(space.canonical(Genome{{0, 0, 1}})));
  CHECK(!space.valid(Genome{{0, 0}}));
  CHECK(!space.valid(Genome{{0, 0, 3}}));
  CHECK(!space.active(Genome{{0, 0, 1}}, 2));
  CHECK(space.active(Genome{{0, 1, 1}}, 2));
}

TEST_CASE("an axis counts as inactive when another inactive axis decides it") {
  const AxisSpace space = *AxisSpace::create(
      {axis("a", {0, 1}), axis("b", {0, 1}, "a == 1"), axis("c", {0, 1}, "b == 1")}, {});
  CHECK(space.canonical(Genome{{0, 1, 1}}) == Genome{{0, 0, 0}});
  CHECK(!space.valid(Genome{{0, 1, 1}}));
  CHECK(space.valid(Genome{{1, 1, 1}}));
}

TEST_CASE("an expression that fails to evaluate counts as no") {
  const AxisSpace space = *AxisSpace::create({axis("a", {0, 1})}, exprs({"1 // a == 1"}));
  CHECK(!space.valid(Genome{{0}}));
  CHECK(space.valid(Genome{{1}}));
}

TEST_CASE("a restriction over unknown axes holds so far") {
  const AxisSpace space = sample_space();
  CHECK(space.holds_so_far(Genome{{2, 2, 0}}, 1, 0));
  CHECK(!space.holds_so_far(Genome{{2, 2, 0}}, 2, 0));
  CHECK(space.axes_of_restriction(0) == std::vector<std::size_t>{0, 1});
  CHECK(space.axes_of_when(2) == std::vector<std::size_t>{1});
}

TEST_CASE("values lead to the genome and back") {
  const AxisSpace space = sample_space();
  const Genome genome{{1, 2, 0}};
  CHECK(*space.genome(space.values(genome)) == genome);
  CHECK(space.describe(genome) == "tile=32 split=4 stages=1");
  CHECK(space.genome({})->levels == space.default_genome().levels);
  CHECK(*space.genome({{"tile", 64.0}}) == Genome{{2, 0, 0}});
  CHECK(space.genome({{"tile", std::int64_t{65}}}).error().message ==
        "axis \"tile\": expected one of 16, 32, 64, found 65");
  CHECK(!space.genome({{"tiles", std::int64_t{64}}}).ok());
  CHECK(space.raw_size() == 27);
}

TEST_CASE("the raw size saturates instead of overflowing") {
  std::vector<Axis> axes;
  for (int i = 0; i < 40; ++i) {
    axes.push_back(axis("a" + std::to_string(i), {1, 2, 3, 4}));
  }
  CHECK(AxisSpace::create(axes, {})->raw_size() == INT64_MAX);
}

TEST_CASE("a copy of a space outlives its origin") {
  auto first = std::make_unique<AxisSpace>(sample_space());
  const AxisSpace copy = *first;
  first.reset();
  CHECK(copy.valid(Genome{{0, 1, 2}}));
}

TEST_CASE("types and kinds are read and written by name") {
  CHECK(*axis_type("categorical") == AxisType::categorical);
  CHECK(*axis_kind("precision") == AxisKind::precision);
  CHECK(contains(axis_kind("tiles").error().message, "tile, stage, fusion"));
  CHECK(to_text(AxisKind::algorithm) == "algorithm");
}
