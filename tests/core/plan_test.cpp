// Launch plans: the spelling of docs/op-format.md, canonical bytes, and numbers filled in.
#include "core/plan.h"

#include "tests/support/catch.h"

using namespace coppice;

namespace {

const char* kPlan = R"({
  "defines": {"HEAD_DIM": "head_dim", "UNROLL": 4, "SCALE": 0.5},
  "threads": "threads",
  "claims": ["head_dim % 16 == 0", "batch < 100"],
  "workspace": [{"name": "partial", "bytes": "batch * heads * 4"}],
  "steps": [
    {"fill": "partial", "byte": 255, "when": "splits > 1"},
    {"kernel": "attend", "grid": ["batch", "splits"], "block": [128], "cluster": [2],
     "shared_bytes": "1024 * 2", "cooperative": true, "dependent": true, "prepare": true,
     "args": [{"tensor": "q"}, {"workspace": "partial", "offset": 64}, {"dim": "batch * 2"},
              {"scalar": "sm_scale"},
              {"tensor_map": "k", "dtype": "bf16", "sizes": ["head_dim", "batch"],
               "stride_bytes": ["head_dim * 2"], "box": [64, 1], "swizzle": 128}]}
  ]
})";

ValueMap values() {
  return {{"head_dim", std::int64_t{128}},
          {"batch", std::int64_t{3}},
          {"heads", std::int64_t{8}},
          {"splits", std::int64_t{2}},
          {"threads", std::int64_t{4}},
          {"sm_scale", 0.25}};
}

LaunchPlan parse_plan(const std::string& text) {
  const auto json = Json::parse(text, "plan.json");
  REQUIRE(json.ok());
  auto plan = launch_plan(json->reader("plan.json"));
  INFO((plan.ok() ? "" : plan.error().message));
  REQUIRE(plan.ok());
  return *plan;
}

std::string plan_refusal(const std::string& text) {
  const auto json = Json::parse(text, "plan.json");
  REQUIRE(json.ok());
  const auto plan = launch_plan(json->reader("plan.json"));
  REQUIRE(!plan.ok());
  return plan.error().message;
}

}  // namespace

TEST_CASE("a launch plan reads, writes and reads back to the same bytes") {
  const LaunchPlan plan = parse_plan(kPlan);
  REQUIRE(plan.steps.size() == 2);
  CHECK(plan.steps[0].kind == StepKind::fill);
  CHECK(plan.steps[1].args[4].map->swizzle == "128");
  CHECK(plan.steps[1].grid[2].text() == "1");
  CHECK(plan.defines.at("UNROLL").text() == "4");
  const std::string bytes = to_json(plan).dump();
  CHECK(to_json(parse_plan(bytes)).dump() == bytes);
}

TEST_CASE("a plan with all numbers filled in round-trips") {
  const auto plan = resolve(parse_plan(kPlan), values(), {"max_len"});
  INFO((plan.ok() ? "" : plan.error().message));
  REQUIRE(plan.ok());
  CHECK(plan->workspace == std::vector<std::pair<std::string, std::int64_t>>{{"partial", 256}});
  CHECK(plan->defines.at("HEAD_DIM") == "128");
  CHECK(plan->defines.at("SCALE") == "0.5");
  CHECK(plan->threads == 4);
  CHECK(plan->graph_safe);
  REQUIRE(plan->steps.size() == 2);
  const ResolvedStep& step = plan->steps[1];
  CHECK(step.grid == std::array<std::int64_t, 3>{3, 2, 1});
  CHECK(step.cluster == std::array<std::int64_t, 3>{2, 0, 0});
  CHECK(step.args[1].integer == 64);
  CHECK(step.args[2].integer == 6);
  CHECK(step.args[3].real == 0.25);
  CHECK(step.args[4].map->stride_bytes == std::vector<std::int64_t>{256});
  const Json json = to_json(*plan);
  const auto back = resolved_plan(json.reader("resolved"));
  REQUIRE(back.ok());
  CHECK(*back == *plan);
  CHECK(to_json(*back).dump() == json.dump());
}

TEST_CASE("a step whose condition is false is dropped") {
  ValueMap one = values();
  one["splits"] = std::int64_t{1};
  const auto plan = resolve(parse_plan(kPlan), one, {});
  REQUIRE(plan.ok());
  CHECK(plan->steps.size() == 1);
}

TEST_CASE("a number that comes from a host scalar makes a plan graph-unsafe") {
  const auto plan = resolve(parse_plan(kPlan), values(), {"batch"});
  REQUIRE(plan.ok());
  CHECK_FALSE(plan->graph_safe);
}

TEST_CASE("a plan that can't be filled in says where and why") {
  const auto message = [](const std::string& text, ValueMap given) {
    const auto plan = resolve(parse_plan(text), given, {});
    REQUIRE(!plan.ok());
    return plan.error().message;
  };
  const std::string grid = R"({"steps": [{"kernel": "k", "grid": ["batch - 3"], "args": []}]})";
  CHECK(message(grid, values()) ==
        "step 0 (k) grid[0]: expected a whole number in [1, 2147483647], found batch - 3 = 0");
  const std::string unknown = R"({"steps": [{"kernel": "k", "grid": ["nope"], "args": []}]})";
  CHECK(message(unknown, values()).find("step 0 (k) grid[0]") == 0);
  CHECK(message(unknown, values()).find("nope") != std::string::npos);
  const std::string slice =
      R"({"steps": [{"kernel": "k", "grid": [1], "args": [{"workspace": "w"}]}]})";
  CHECK(message(slice, values()) ==
        "step 0 (k) args[0]: expected a workspace of the plan, found \"w\"");
}

TEST_CASE("claims are judged one by one") {
  const LaunchPlan plan = parse_plan(kPlan);
  CHECK(*unclaimed(plan, values()) == std::nullopt);
  ValueMap odd = values();
  odd["head_dim"] = std::int64_t{100};
  CHECK(*unclaimed(plan, odd) == std::optional<std::string>("head_dim % 16 == 0"));
  CHECK_FALSE(unclaimed(plan, {}).ok());
}

TEST_CASE("bad plans are refused with their place") {
  CHECK(plan_refusal(R"({"steps": [{"kernel": "k", "grdi": [1], "args": []}]})").find("grid") !=
        std::string::npos);
  CHECK(plan_refusal(R"({"steps": [{"fill": "w", "byte": 256}]})")
            .find("plan.json: /steps/0/byte: expected a byte") == 0);
  CHECK(plan_refusal(R"({"steps": [{"kernel": "k", "grid": ["1 +"], "args": []}]})")
            .find("plan.json: /steps/0/grid/0") == 0);
  CHECK(plan_refusal(R"({"steps": [{"kernel": "k", "grid": [1,1,1,1], "args": []}]})")
            .find("at most three") != std::string::npos);
  CHECK(plan_refusal(R"({"steps": [{"kernel": "k", "args": [{"what": 1}]}]})")
            .find("expected an argument") != std::string::npos);
  CHECK(plan_refusal(R"({"claims": []})").find("steps") != std::string::npos);
}
