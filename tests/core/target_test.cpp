// Targets, element types and candidate identities.
#include "core/target.h"

#include "core/candidate.h"
#include "core/op.h"
#include "tests/support/catch.h"

using namespace coppice;

TEST_CASE("a target reads, writes and reads back to the same bytes") {
  const char* text = R"({"schema": 1, "name": "sm_90", "backend": "cuda",
    "facts": {"shared_bytes_per_block": 232448, "ratio": 0.5},
    "features": ["sm_90a"],
    "rules": [{"name": "threads", "applies": "step", "holds": "block.x * block.y <= 1024"}],
    "peaks": {"hbm": 4.8e12}, "ceilings": {"hbm": 4.3e12}})";
  const auto json = Json::parse(text, "sm_90.json");
  REQUIRE(json.ok());
  const auto sm_90 = target(json->reader("sm_90.json"));
  INFO((sm_90.ok() ? "" : sm_90.error().message));
  REQUIRE(sm_90.ok());
  CHECK(sm_90->rules.at(0).holds.text() == "block.x * block.y <= 1024");
  CHECK(sm_90->peaks.at("hbm") == 4.8e12);
  CHECK(sm_90->ceilings.at("hbm") == 4.3e12);
  const Json written = to_json(*sm_90);
  const auto back = target(written.reader("again"));
  REQUIRE(back.ok());
  CHECK(to_json(*back).dump() == written.dump());
}

TEST_CASE("a target with an unknown scope or schema is refused") {
  const auto refusal = [](const char* text) {
    const auto json = Json::parse(text, "t.json");
    REQUIRE(json.ok());
    const auto read = target(json->reader("t.json"));
    REQUIRE(!read.ok());
    return read.error().message;
  };
  CHECK(refusal(R"({"schema": 1, "name": "a", "backend": "cpu",
                    "rules": [{"name": "r", "applies": "all", "holds": 1}]})")
            .find("t.json: /rules/0/applies: expected \"step\" or \"genome\"") == 0);
  CHECK(refusal(R"({"schema": 2, "name": "a", "backend": "cpu"})").find("schema 1") !=
        std::string::npos);
}

TEST_CASE("element types have sizes and names") {
  CHECK(size_of(DType::bf16) == 2);
  CHECK(size_of(DType::f64) == 8);
  CHECK(to_text(DType::u8) == "u8");
  CHECK(*dtype("e5m2") == DType::e5m2);
  CHECK_FALSE(dtype("f8").ok());
}

TEST_CASE("a candidate's identity is its work, not its id or label") {
  Candidate a;
  a.id = {1};
  a.backend = "cpu";
  a.source = "int x;";
  a.label = "one";
  Candidate b = a;
  b.id = {2};
  b.label = "two";
  CHECK(a.identity() == b.identity());
  b.source += " ";
  CHECK(a.identity() != b.identity());
  Candidate flags = a;
  flags.flags = {"-ffast-math"};
  CHECK(a.identity() != flags.identity());
  Candidate plan = a;
  plan.plan.threads = Expr::constant(2);
  CHECK(a.identity() != plan.identity());
}
