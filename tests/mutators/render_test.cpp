// Rendering a template: the #define block of docs/op-format.md, label and precision class.
#include "mutators/render.h"

#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::mutators;

namespace {

Template sample_template() {
  Template source;
  source.name = "split_kv";
  source.backend = "cpu";
  source.source_name = "kernel.cpp";
  source.source = "void attend() {}\n";
  source.flags = {"-ffast-math"};
  Axis tile;
  tile.name = "tile_kv";
  tile.levels = {std::int64_t{32}, std::int64_t{64}};
  Axis fuse;
  fuse.name = "fuse_combine";
  fuse.levels = {false, true};
  Axis staging;
  staging.name = "staging";
  staging.levels = {std::string("f32"), std::string("bf16-x2")};
  Axis scale;
  scale.name = "scale";
  scale.levels = {0.5, 2.0};
  source.axes = {tile, fuse, staging, scale};
  source.precision = *Expr::parse("'bf16_staging' if staging == 'bf16-x2' else T");
  return source;
}

AxisSpace space_of(const Template& source) {
  auto space = AxisSpace::create(
      source.axes, {*Expr::parse("tile_kv < 64 or not fuse_combine")}, {{"T", std::string("f32")}});
  REQUIRE(space.ok());
  return *space;
}

}  // namespace

TEST_CASE("axis values and tensor types stand in front of the source as documented") {
  const Template source = sample_template();
  const auto candidate = render(source, space_of(source), {{1, 0, 1, 0}}, {{"T", "f32"}}, "f32");
  REQUIRE(candidate.ok());
  CHECK(candidate->source ==
        "#define TILE_KV 64\n"
        "#define FUSE_COMBINE 0\n"
        "#define STAGING_BF16_X2 1\n"
        "#define SCALE 0.5\n"
        "#define T_F32 1\n"
        "void attend() {}\n");
  CHECK(candidate->backend == "cpu");
  CHECK(candidate->source_name == "kernel.cpp");
  CHECK(candidate->flags == source.flags);
  CHECK(candidate->axis_values.at("tile_kv") == Value(std::int64_t{64}));
  CHECK(candidate->label.find("split_kv: tile_kv=64 fuse_combine=false") == 0);
}

TEST_CASE("the precision class comes from the expression, else it is the headline") {
  Template source = sample_template();
  const AxisSpace space = space_of(source);
  CHECK(render(source, space, {{0, 0, 1, 0}}, {}, "f32")->precision == "bf16_staging");
  CHECK(render(source, space, {{0, 0, 0, 0}}, {}, "x")->precision == "f32");
  source.precision.reset();
  CHECK(render(source, space, {{0, 0, 1, 0}}, {}, "headline")->precision == "headline");
}

TEST_CASE("rendering is pure: equal arguments give equal candidates, other levels others") {
  const Template source = sample_template();
  const AxisSpace space = space_of(source);
  const auto a = render(source, space, {{0, 1, 0, 0}}, {}, "f32");
  const auto b = render(source, space, {{0, 1, 0, 0}}, {}, "f32");
  const auto c = render(source, space, {{0, 0, 0, 0}}, {}, "f32");
  CHECK(a->identity() == b->identity());
  CHECK(a->identity() != c->identity());
}

TEST_CASE("what can't be rendered is refused with the template's name") {
  Template source = sample_template();
  const AxisSpace space = space_of(source);
  const auto broken = render(source, space, {{1, 1, 0, 0}}, {}, "f32");
  REQUIRE(!broken.ok());
  CHECK(broken.error().message == "template split_kv: the genome breaks a restriction");
  CHECK_FALSE(render(source, space, {{1}}, {}, "f32").ok());
  source.precision = *Expr::parse("tile_kv + 1");
  const auto number = render(source, space, {{0, 0, 0, 0}}, {}, "f32");
  REQUIRE(!number.ok());
  CHECK(number.error().message.find("expected the name of a class, found 33") != std::string::npos);
  Axis twin;
  twin.name = "tile-kv";
  twin.levels = {std::int64_t{1}};
  source.axes.push_back(twin);
  const auto clash =
      render(source, *AxisSpace::create({source.axes[0]}, {}), {{0}}, {{"tile_kv", "x"}}, "f32");
  CHECK_FALSE(clash.ok());  // the precision expression names an axis that is not there
}
