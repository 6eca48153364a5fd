// Events, edits and evidence: each kind round-trips, and equal values give equal bytes.
#include "core/event.h"

#include "core/search_space.h"
#include "tests/support/catch.h"

#include <algorithm>
#include <limits>

using namespace coppice;

namespace {

Evidence passed() {
  Evidence evidence;
  evidence.attempt = {7};
  evidence.candidate = {5};
  evidence.fidelity = Fidelity::finalist;
  evidence.precision = "bf16";
  evidence.verdict = {true, Gate::physics, FailureClass::none, "all gates passed"};
  evidence.error = 0.125;
  evidence.cost = {Nanoseconds(11), Nanoseconds(12), Nanoseconds(13), 14, 0.015};
  Performance performance;
  performance.baseline = "openblas:haswell:threads=2";
  WorkloadTiming timing;
  timing.workload = "b4";
  timing.median = Nanoseconds(1000);
  timing.p90 = Nanoseconds(1100);
  timing.samples = 31;
  timing.speedup = 1.1;
  performance.workloads = {timing, timing};
  performance.log_cost = -0.1;
  performance.log_noise = std::numeric_limits<double>::infinity();
  evidence.performance = performance;
  evidence.resources = Json::object().set("registers", 128);
  evidence.counters.emplace();
  evidence.counters->unavailable = "no libcupti";
  return evidence;
}

LlmReplied failed_reply() {
  LlmReplied replied;
  replied.request = {9};
  replied.reply = sha256("reply");
  replied.failed = true;
  replied.message = "timeout";
  replied.cost = passed().cost;
  replied.gone = true;
  return replied;
}

LlmReplied good_reply() {
  LlmReplied replied;
  replied.request = {9};
  replied.prompt = sha256("prompt");
  replied.reply = sha256("reply");
  replied.model = "m";
  replied.tokens_in = 3;
  replied.tokens_out = 2;
  replied.tokens_cached = 1;
  replied.refused = {"recipe: \"flags\" can't be set by a reply"};
  LlmIdea idea{"stage rows", "in words", {}, {{{0, 1}}, {{2, 0}}}, {}};
  idea.spec.source = sha256("source");
  idea.spec.plan = sha256("plan");
  idea.spec.genome.levels = {0, 0};
  replied.idea = idea;
  return replied;
}

// Axes that become a template, and advice about the search.
LlmReplied rich_reply() {
  LlmReplied replied = good_reply();
  TemplateSpace space;
  space.name = "llm_9";
  Axis rows;
  rows.name = "rows";
  rows.type = AxisType::integer;
  rows.kind = AxisKind::tile;
  rows.levels = {std::int64_t{4}, std::int64_t{1}, std::int64_t{2}};
  rows.default_level = 1;
  Axis way;
  way.name = "way";
  way.type = AxisType::categorical;
  way.levels = {std::string("ring"), std::string("copy")};
  way.structural = true;
  way.when = *Expr::parse("rows > 1");
  space.space = *AxisSpace::create(
      {rows, way}, {*Expr::parse("rows * width <= 8")}, {{"width", std::int64_t{2}}});
  space.precision = *Expr::parse("'bf16' if way == 'ring' else 'f32'");
  replied.idea->space = to_json(space);
  Insert insert{{5}, {2}, NodeKind::idea, "t", {}, "title", "text", 0.5, "why"};
  replied.advice =
      LlmAdvice{{insert, Prune{{3}, "slow"}}, {{"way", std::string("copy"), 0.1, 0.5}}};
  return replied;
}

std::vector<Event> one_of_each() {
  RunStarted started;
  started.run = "moe";
  started.seed = std::numeric_limits<std::uint64_t>::max();
  started.config = sha256("config");
  started.warm = {sha256("a"), sha256("b")};
  started.prompts = sha256("prompts");
  started.environment = Json::object().set("host", "h");
  Proposed proposed;
  proposed.attempt = {1};
  proposed.candidate = {2};
  proposed.lane = 3;
  proposed.node = {4};
  proposed.spec.template_name = "split_kv";
  proposed.spec.genome.levels = {0, 3, 65535};
  proposed.parents = {{1}, {2}};
  proposed.mutator = "axis_step";
  proposed.prediction = Prediction{-0.5, 0.1, 0.9, 0.01, 2.5};
  proposed.opinion = -0.25;
  proposed.why = "line\nwith \"quotes\" and \xc3\xa4";
  Proposed stored;
  stored.spec.source = sha256("source");
  stored.spec.plan = sha256("plan");
  stored.fidelity = Fidelity::promote;
  Insert insert{{2}, {1}, NodeKind::structural, "split_kv", {}, "t", "text", 0.5, "why"};
  insert.fixed = {{"fuse", true}, {"tile", std::int64_t{64}}, {"w", 2.0}, {"s", std::string("x")}};
  return {started,
          BaselineFrozen{"b4", "onednn", Nanoseconds(5), true, false, Json::object().set("t", 2)},
          WorkRequested{3},
          Evaluated{passed()},
          Tick{Nanoseconds(123456789)},
          StopRequested{"enough", std::nullopt},
          StopRequested{"the shared budget is spent", StopReason::budget_attempts},
          SliceEnded{"a", 4, 3, Nanoseconds(9), -0.5, std::nullopt, "", 40, sha256("head")},
          SliceEnded{"b",
                     0,
                     0,
                     Nanoseconds(0),
                     std::nullopt,
                     Stopped{StopReason::exhausted, "done"},
                     "device lost",
                     0,
                     Digest()},
          Allocated{"a", 4, Nanoseconds(5), true, "why"},
          Resumed{{{4}, {5}}, "host"},
          failed_reply(),
          good_reply(),
          rich_reply(),
          proposed,
          stored,
          EditApplied{insert},
          EditApplied{Update{{2}, 0.25, NodeState::closed, CandidateId{8}, "why"}},
          EditApplied{Update{{2}, std::nullopt, std::nullopt, std::nullopt, "why"}},
          EditApplied{Prune{{2}, "can't win"}},
          LlmAsked{{9}, {2}, "repair", {{8}, {7}}, "it did not compile"},
          Stopped{StopReason::budget_attempts, "done"},
          Promoted{{8}, {7}, "f32"},
          Idle{1}};
}

}  // namespace

TEST_CASE("every kind of event reads back to the same bytes") {
  std::vector<bool> seen(std::variant_size_v<Event>, false);
  for (const Event& event : one_of_each()) {
    const std::string bytes = encode(event);
    INFO(bytes);
    const auto back = decode(bytes);
    INFO((back.ok() ? "" : back.error().message));
    REQUIRE(back.ok());
    CHECK(back->index() == event.index());
    CHECK(encode(*back) == bytes);
    CHECK(bytes.find('\n') == std::string::npos);
    CHECK(bytes.find("\"kind\":\"" + std::string(kind_of(event)) + "\"") != std::string::npos);
    seen[event.index()] = true;
  }
  CHECK(seen == std::vector<bool>(std::variant_size_v<Event>, true));
}

TEST_CASE("axes of a model's kernel read back as they were written") {
  const LlmReplied reply = rich_reply();
  const auto space = template_space(reply.idea->space.reader("space"));
  REQUIRE(space.ok());
  CHECK(space->name == "llm_9");
  CHECK(space->space.axis(0).default_level == 1);
  CHECK(space->space.axis(1).structural);
  CHECK(space->space.raw_size() == 6);
  CHECK(space->space.valid(Genome{{0, 0}}));
  CHECK_FALSE(space->space.valid(Genome{{1, 1}}));  // inactive, and not at its default
  CHECK(to_json(*space) == reply.idea->space);
  CHECK_FALSE(template_space(Json::object().set("name", "x").reader("space")).ok());
}

TEST_CASE("the bytes of an event are fixed: archives depend on them") {
  CHECK(encode(WorkRequested{3}) == R"({"kind":"work_requested","lane":3,"v":1})");
  CHECK(encode(EditApplied{Prune{{2}, "x"}}) ==
        R"({"edit":{"edit":"prune","node":2,"reason":"x"},"kind":"edit_applied","v":1})");
  Proposed proposed;
  proposed.attempt = {1};
  proposed.candidate = {1};
  proposed.node = {2};
  proposed.spec = {"t", {{1, 0}}, std::nullopt, std::nullopt};
  proposed.mutator = "seed";
  proposed.why = "default";
  CHECK(encode(proposed) ==
        R"({"attempt":1,"candidate":1,"fidelity":"search","kind":"proposed","lane":0,)"
        R"("mutator":"seed","node":2,"parents":[],"spec":{"genome":[1,0],"template":"t"},)"
        R"("v":1,"why":"default"})");
}

TEST_CASE("fields survive an event's round trip") {
  const auto back = decode(encode(Evaluated{passed()}));
  REQUIRE(back.ok());
  const Evidence& evidence = std::get<Evaluated>(*back).evidence;
  CHECK(evidence.attempt == AttemptId{7});
  CHECK(evidence.fidelity == Fidelity::finalist);
  CHECK(evidence.verdict.gate == Gate::physics);
  CHECK(evidence.cost.llm_tokens == 14);
  REQUIRE(evidence.performance);
  CHECK(evidence.performance->workloads.size() == 2);
  CHECK(evidence.performance->workloads[0].p90 == Nanoseconds(1100));
  CHECK(evidence.performance->log_cost == -0.1);
  CHECK(evidence.performance->log_noise == std::numeric_limits<double>::infinity());
  CHECK(evidence.resources == Json::object().set("registers", 128));
  REQUIRE(evidence.counters);
  CHECK(evidence.counters->unavailable == "no libcupti");
  CHECK(evidence.environment.is_null());
  const std::vector<Event> events = one_of_each();
  const auto first = std::ranges::find_if(
      events, [](const Event& event) { return std::holds_alternative<EditApplied>(event); });
  REQUIRE(first != events.end());
  const auto edit = decode(encode(*first));
  REQUIRE(edit.ok());
  const Insert& insert = std::get<Insert>(std::get<EditApplied>(*edit).edit);
  CHECK(insert.fixed.at("w") == Value(2.0));
  CHECK(insert.fixed.at("tile") == Value(std::int64_t{64}));
  CHECK(insert.fixed.at("fuse") == Value(true));
}

TEST_CASE("inputs and decisions are told apart") {
  CHECK(is_input(WorkRequested{}));
  CHECK(is_input(LlmReplied{}));
  CHECK_FALSE(is_input(Proposed{}));
  CHECK_FALSE(is_input(Idle{}));
}

TEST_CASE("torn or foreign bytes are refused, not guessed at") {
  CHECK_FALSE(decode("").ok());
  CHECK_FALSE(decode("{}").ok());
  CHECK_FALSE(decode(R"({"kind":"idle","lane":1,"v":2})").ok());
  CHECK_FALSE(decode(R"({"kind":"idle","lane":1})").ok());
  CHECK_FALSE(decode(R"({"kind":"nap","lane":1,"v":1})").ok());
  CHECK_FALSE(decode(R"({"kind":"idle","lane":1,"more":0,"v":1})").ok());
  CHECK_FALSE(decode(R"({"kind":"idle","lane":"1","v":1})").ok());
  CHECK_FALSE(
      decode(R"({"edit":{"edit":"graft","node":2,"reason":"x"},"kind":"edit_applied","v":1})")
          .ok());
  for (const Event& event : one_of_each()) {
    const std::string bytes = encode(event);
    CHECK_FALSE(decode(bytes.substr(0, bytes.size() - 1)).ok());
  }
}

TEST_CASE("every gate, failure, fidelity, state and reason has a name that reads back") {
  for (int i = 0; i <= static_cast<int>(Gate::evidence); ++i) {
    CHECK(*gate(to_text(static_cast<Gate>(i))) == static_cast<Gate>(i));
  }
  for (int i = 0; i <= static_cast<int>(FailureClass::infrastructure); ++i) {
    CHECK(*failure_class(to_text(static_cast<FailureClass>(i))) == static_cast<FailureClass>(i));
  }
  for (int i = 0; i <= static_cast<int>(NodeKind::idea); ++i) {
    CHECK(*node_kind(to_text(static_cast<NodeKind>(i))) == static_cast<NodeKind>(i));
  }
  for (int i = 0; i <= static_cast<int>(StopReason::failed); ++i) {
    CHECK(*stop_reason(to_text(static_cast<StopReason>(i))) == static_cast<StopReason>(i));
  }
  CHECK(to_text(Gate::timing_quality) == "timing_quality");
  CHECK(to_text(FailureClass::stale_result) == "stale_result");
  const auto unknown = fidelity("serach");
  REQUIRE(!unknown.ok());
  CHECK(unknown.error().message ==
        "fidelity: expected one of search, finalist, promote, found \"serach\"");
}

TEST_CASE("the space of a recorded table comes back from its text with the same points") {
  Axis tile;
  tile.name = "tile";
  tile.type = AxisType::ordinal;
  tile.levels = {Value(std::int64_t{16}), Value(32.0), Value(std::int64_t{64})};
  Axis flag;
  flag.name = "flag";
  flag.type = AxisType::boolean;
  flag.levels = {Value(false), Value(true)};
  TemplateSpace space;
  space.name = "kernel on a device";
  space.space = *AxisSpace::create_listed({tile, flag}, {Genome{{0, 1}}, Genome{{2, 0}}});
  Json text = to_json(space);
  const auto back = template_space(text.reader("space"));
  REQUIRE(back.ok());
  CHECK(back->name == space.name);
  REQUIRE(back->space.listed() != nullptr);
  CHECK(*back->space.listed() == *space.space.listed());
  CHECK(back->space.axes().front().levels == tile.levels);
  CHECK(back->space.default_genome() == space.space.default_genome());

  text.set("listed", "00010300");
  const auto wrong = template_space(text.reader("space"));
  REQUIRE_FALSE(wrong.ok());
  CHECK(wrong.error().message.find("tile") != std::string::npos);
}
