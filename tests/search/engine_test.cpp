// The engine as its users see it: budgets, phases, failures, replay.
#include "core/digest.h"
#include "search/pace.h"
#include "tests/search/fake_world.h"

#include <set>

using namespace coppice;
using namespace coppice::test;
using search::Strategy;

namespace {

std::set<std::pair<std::string, Genome>> search_points(const Play& play) {
  std::set<std::pair<std::string, Genome>> points;
  for (const Proposed& proposed : play.proposals) {
    if (proposed.fidelity == Fidelity::search) {
      points.insert({proposed.spec.template_name, proposed.spec.genome});
    }
  }
  return points;
}

std::int64_t count(const Play& play, Fidelity fidelity) {
  std::int64_t n = 0;
  for (const Proposed& proposed : play.proposals) {
    n += proposed.fidelity == fidelity ? 1 : 0;
  }
  return n;
}

const Strategy kAll[] = {
    Strategy::coppice, Strategy::random, Strategy::hillclimb, Strategy::best_of_n};

}  // namespace

TEST_CASE("every strategy spends its attempts, re-times finalists, promotes the best and stops") {
  for (const Strategy strategy : kAll) {
    INFO(search::to_text(strategy));
    search::EngineSetup setup = setup_for(two_templates(), 40);
    setup.options.strategy = strategy;
    InlineExecutor executor;
    Play play(setup, bowl, executor);
    play.run();
    CHECK(count(play, Fidelity::search) == 40);
    CHECK(search_points(play).size() == 40);
    CHECK(count(play, Fidelity::finalist) == 3);
    CHECK(count(play, Fidelity::promote) == 1);
    REQUIRE(play.promotions.size() == 1);
    CHECK(play.view().best == play.promotions[0].candidate);
    REQUIRE(play.stopped);
    CHECK(play.stopped->reason == StopReason::budget_attempts);
    CHECK(play.view().attempts == 40);
    CHECK(play.view().in_flight == 0);
  }
}

TEST_CASE("a small space is tried to its last point, each point once") {
  for (const Strategy strategy : kAll) {
    INFO(search::to_text(strategy));
    SearchSpace space{template_space(
        "t", {flag("s", true), ordinal("a", {1, 2, 3}), ordinal("b", {1, 2, 3})}, {"a + b < 6"})};
    search::EngineSetup setup = setup_for(space, 1000);
    setup.options.strategy = strategy;
    setup.options.stagnation = 3;
    InlineExecutor executor;
    Play play(setup, bowl, executor);
    play.run();
    CHECK(search_points(play).size() == 16);
    CHECK(count(play, Fidelity::search) == 16);
    REQUIRE(play.stopped);
    CHECK(play.stopped->reason == StopReason::exhausted);
  }
}

TEST_CASE("strategy default tries each template's default and nothing else") {
  search::EngineSetup setup = setup_for(two_templates(), 0);
  setup.options.strategy = Strategy::default_only;
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  play.run();
  CHECK(count(play, Fidelity::search) == 2);
  CHECK(play.stopped->reason == StopReason::exhausted);
}

TEST_CASE("recorded inputs give a fresh engine the same decisions, byte for byte") {
  for (const int lanes : {1, 4}) {
    search::EngineSetup setup = setup_for(two_templates(), 60);
    setup.options.lanes = lanes;
    InlineExecutor executor;
    Play play(setup, bowl, executor);
    play.run();
    auto fresh = search::Engine::create(setup, executor);
    REQUIRE(fresh.ok());
    for (std::size_t i = 0; i < play.transcript.inputs.size(); ++i) {
      // Through bytes, as a replay would read them.
      const auto input = decode(encode(play.transcript.inputs[i]));
      REQUIRE(input.ok());
      std::vector<std::string> decisions;
      for (const Event& event : fresh->handle(*input)) {
        decisions.push_back(encode(event));
      }
      REQUIRE(decisions == play.transcript.decisions[i]);
    }
  }
}

TEST_CASE("an engine that rests between attempts decides the same") {
  search::EngineSetup setup = setup_for(two_templates(), 60);
  setup.options.lanes = 2;
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  play.run();
  auto rested = search::Engine::create(setup, executor);
  REQUIRE(rested.ok());
  for (std::size_t i = 0; i < play.transcript.inputs.size(); ++i) {
    if (i % 7 == 3) {
      rested->rest();
    }
    std::vector<std::string> decisions;
    for (const Event& event : rested->handle(play.transcript.inputs[i])) {
      decisions.push_back(encode(event));
    }
    REQUIRE(decisions == play.transcript.decisions[i]);
  }
}

TEST_CASE("another seed makes another run") {
  InlineExecutor executor;
  search::EngineSetup setup = setup_for(two_templates(), 30);
  Play one(setup, bowl, executor);
  one.run();
  setup.seed = 2;
  Play two(setup, bowl, executor);
  two.run();
  CHECK(one.transcript.decisions != two.transcript.decisions);
}

TEST_CASE("candidates that fail at first do not end the search for good ones") {
  // The first five attempts fail, whatever they are; then the bowl.
  for (const Strategy strategy : kAll) {
    search::EngineSetup setup = setup_for(two_templates(), 60);
    setup.options.strategy = strategy;
    InlineExecutor executor;
    int seen = 0;
    Play play(
        setup,
        [&](const Proposed& p) {
          return ++seen <= 5 ? Answer{FailureClass::compile_error, 0.0, ""} : bowl(p);
        },
        executor);
    play.run();
    CHECK(play.view().rejected.at("compile_error") == 5);
    CHECK(play.view().valid == 55);
    CHECK(play.promotions.size() == 1);
  }
}

TEST_CASE("a run in which nothing passes stops without an answer and says so") {
  search::EngineSetup setup = setup_for(two_templates(), 30);
  InlineExecutor executor;
  Play play(
      setup,
      [](const Proposed&) {
        return Answer{FailureClass::wrong_result, 0.0, ""};
      },
      executor);
  play.run();
  CHECK(play.promotions.empty());
  CHECK_FALSE(play.view().best);
  CHECK(play.stopped->message.find("no candidate passed") != std::string::npos);
}

TEST_CASE("a finalist that fails its promotion hands over to the next one") {
  search::EngineSetup setup = setup_for(two_templates(), 30);
  InlineExecutor executor;
  int promotions = 0;
  Play play(
      setup,
      [&](const Proposed& p) {
        if (p.fidelity == Fidelity::promote && ++promotions <= 2) {
          return Answer{
              promotions == 1 ? FailureClass::wrong_result : FailureClass::noisy, 0.0, ""};
        }
        return bowl(p);
      },
      executor);
  play.run();
  CHECK(promotions == 3);
  REQUIRE(play.promotions.size() == 1);
  CHECK(play.promotions[0].attempt == play.proposals.back().attempt);
}

TEST_CASE("finalists are ranked by their second timing, not by the lucky first") {
  search::EngineSetup setup = setup_for(two_templates(), 30);
  InlineExecutor executor;
  std::vector<CandidateId> finalists;
  Play play(
      setup,
      [&](const Proposed& p) {
        Answer answer = bowl(p);
        if (p.fidelity == Fidelity::finalist) {
          finalists.push_back(p.candidate);
          answer.log_cost = finalists.size() == 2 ? -5.0 : 1.0;
        }
        return answer;
      },
      executor);
  play.run();
  REQUIRE(finalists.size() == 3);
  REQUIRE(play.promotions.size() == 1);
  CHECK(play.promotions[0].candidate == finalists[1]);
}

TEST_CASE("each precision class keeps its own best and is promoted for itself") {
  SearchSpace space{template_space(
      "t", {flag("bf16", true), ordinal("a", {1, 2, 3, 4, 5})}, {}, "'bf16' if bf16 else 'f32'")};
  search::EngineSetup setup = setup_for(space, 10);
  setup.precision_classes = {"f32", "bf16"};
  InlineExecutor executor;
  Play play(
      setup,
      [](const Proposed& p) {
        Answer answer = bowl(p);
        const bool fast = p.spec.genome.levels[0] == 1;
        answer.precision = fast ? "bf16" : "f32";
        answer.log_cost -= fast ? 1.0 : 0.0;
        return answer;
      },
      executor);
  play.run();
  REQUIRE(play.promotions.size() == 2);
  CHECK(play.promotions[0].precision == "f32");
  CHECK(play.promotions[1].precision == "bf16");
  CHECK(play.view().best == play.promotions[0].candidate);
  CHECK(play.view().best_by_precision.at("bf16") == play.promotions[1].candidate);
}

TEST_CASE("a class that this suite does not permit is never proposed") {
  SearchSpace space{template_space(
      "t", {flag("bf16", false), ordinal("a", {1, 2, 3, 4, 5})}, {}, "'bf16' if bf16 else 'f32'")};
  search::EngineSetup setup = setup_for(space, 100);
  setup.precision_classes = {"f32"};
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  play.run();
  CHECK(search_points(play).size() == 5);
  setup.precision_classes = {"f64"};
  const auto nothing = search::Engine::create(setup, executor);
  REQUIRE(!nothing.ok());
  CHECK(nothing.error().message ==
        "search space: nothing to search; t: no point is of a permitted precision class");
}

TEST_CASE("the seconds budget reads ticks alone") {
  search::EngineSetup setup = setup_for(two_templates(), 0);
  setup.options.budget.seconds = Nanoseconds(1'000'000'000);
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  play.run(10);
  play.feed(Tick{Nanoseconds(999'999'999)});
  CHECK(std::holds_alternative<Proposed>(play.feed(WorkRequested{0}).back()));
  play.feed(Tick{Nanoseconds(1'000'000'000)});
  play.run();
  CHECK(play.stopped->reason == StopReason::budget_seconds);
  CHECK(count(play, Fidelity::search) == 11);
}

TEST_CASE("an attempt that would end after the seconds budget is not begun, and a replay agrees") {
  search::EngineSetup setup = setup_for(two_templates(), 0);
  setup.options.budget.seconds = std::chrono::seconds(10);
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  // Each attempt takes 1.5 s: the seventh would end at 10.5 s.
  Nanoseconds now{0};
  while (!play.stopped) {
    play.feed(Tick{now});
    play.feed(WorkRequested{0});
    now += std::chrono::milliseconds(1500);
    while (!play.flying.empty()) {
      play.land();
    }
  }
  CHECK(play.stopped->reason == StopReason::budget_seconds);
  CHECK(play.stopped->message == "9.0 s are spent of 10 s, and another attempt takes about 1.5 s");
  CHECK(count(play, Fidelity::search) == 6);
  auto fresh = search::Engine::create(setup, executor);
  REQUIRE(fresh.ok());
  for (std::size_t i = 0; i < play.transcript.inputs.size(); ++i) {
    std::vector<std::string> decisions;
    for (const Event& event : fresh->handle(play.transcript.inputs[i])) {
      decisions.push_back(encode(event));
    }
    REQUIRE(decisions == play.transcript.decisions[i]);
  }
}

TEST_CASE("the pace is the median of the newest durations, lane by lane") {
  search::Pace pace;
  CHECK(pace.typical() == Nanoseconds{0});
  pace.asks(0, Nanoseconds{5});  // nothing was begun
  pace.begins(0, Nanoseconds{10});
  pace.begins(1, Nanoseconds{12});
  pace.asks(0, Nanoseconds{40});
  CHECK(pace.typical() == Nanoseconds{30});
  pace.asks(1, Nanoseconds{112});
  pace.begins(0, Nanoseconds{200});
  pace.asks(0, Nanoseconds{260});
  CHECK(pace.typical() == Nanoseconds{60});
  pace.begins(0, Nanoseconds{300});
  pace.forget();
  pace.asks(0, Nanoseconds{1000});
  CHECK(pace.typical() == Nanoseconds{60});
  for (int i = 0; i < 15; ++i) {
    pace.begins(0, Nanoseconds{1000});
    pace.asks(0, Nanoseconds{1001});
  }
  CHECK(pace.typical() == Nanoseconds{1});
}

TEST_CASE("a stop finishes what is in flight, promotes nothing and ends") {
  search::EngineSetup setup = setup_for(two_templates(), 100);
  setup.options.lanes = 3;
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  for (int i = 0; i < 3; ++i) {
    play.feed(WorkRequested{i});
  }
  play.feed(StopRequested{"interrupted"});
  CHECK(std::holds_alternative<Idle>(play.feed(WorkRequested{0}).back()));
  while (!play.flying.empty()) {
    play.land();
  }
  const std::vector<Event> end = play.feed(WorkRequested{0});
  REQUIRE(std::holds_alternative<Stopped>(end.back()));
  CHECK(play.stopped->reason == StopReason::user);
  CHECK(play.stopped->message == "interrupted");
  CHECK(play.view().valid == 3);
  CHECK(play.promotions.empty());
  CHECK(encode(play.feed(WorkRequested{1}).back()) == encode(*play.stopped));
}

TEST_CASE("attempts lost in an interruption are proposed again and counted once") {
  search::EngineSetup setup = setup_for(two_templates(), 20);
  setup.options.lanes = 3;
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  for (int i = 0; i < 3; ++i) {
    play.feed(WorkRequested{i});
  }
  const std::deque<Proposed> lost = play.flying;
  play.flying.clear();
  play.feed(Resumed{{lost[0].attempt, lost[1].attempt, lost[2].attempt}, "another host"});
  CHECK(play.view().attempts == 0);
  for (std::size_t i = 0; i < 3; ++i) {
    play.feed(WorkRequested{0});
    CHECK(play.proposals.back().candidate == lost[i].candidate);
    CHECK(play.proposals.back().attempt != lost[i].attempt);
  }
  // A late result of a lost attempt is nobody's.
  CHECK(play.engine().observe(Evaluated{evidence_for(lost[0], bowl(lost[0]))}).empty());
  CHECK(play.view().valid == 0);
  play.run();
  CHECK(search_points(play).size() == 20);
  CHECK(play.view().valid == 20);
}

TEST_CASE("infrastructure failures are not charged and are tried once more") {
  search::EngineSetup setup = setup_for(two_templates(), 20);
  InlineExecutor executor;
  int seen = 0;
  Play play(
      setup,
      [&](const Proposed& p) {
        return ++seen == 3 ? Answer{FailureClass::infrastructure, 0.0, ""} : bowl(p);
      },
      executor);
  play.run();
  CHECK(play.proposals[3].candidate == play.proposals[2].candidate);
  CHECK(play.view().valid == 20);
  CHECK(play.view().attempts == 20);
}

TEST_CASE("a machine that only fails stops the run instead of burning the space") {
  search::EngineSetup setup = setup_for(two_templates(), 1000);
  InlineExecutor executor;
  Play play(
      setup,
      [](const Proposed&) {
        return Answer{FailureClass::infrastructure, 0.0, ""};
      },
      executor);
  play.run();
  CHECK(play.stopped->reason == StopReason::failed);
  CHECK(play.proposals.size() == 20);
  CHECK(play.view().attempts == 0);
}

TEST_CASE("never more attempts in flight than lanes") {
  search::EngineSetup setup = setup_for(two_templates(), 100);
  setup.options.lanes = 2;
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  play.feed(WorkRequested{0});
  play.feed(WorkRequested{1});
  CHECK(std::holds_alternative<Idle>(play.feed(WorkRequested{2}).back()));
  CHECK(play.view().in_flight == 2);
}

TEST_CASE("the user's own kernels are tried first and may win") {
  search::EngineSetup setup = setup_for(two_templates(), 15);
  CandidateSpec mine;
  mine.source = sha256("kernel");
  mine.plan = sha256("plan");
  setup.seeds = {mine};
  InlineExecutor executor;
  Play play(
      setup,
      [](const Proposed& p) {
        return p.spec.source ? Answer{FailureClass::none, -9.0, ""} : bowl(p);
      },
      executor);
  play.run();
  CHECK(play.proposals[0].spec == mine);
  REQUIRE(play.promotions.size() == 1);
  CHECK(play.promotions[0].candidate == play.proposals[0].candidate);
  CHECK(play.proposals.back().spec == mine);
}

TEST_CASE("setups that make no sense are refused with a reason") {
  InlineExecutor executor;
  const auto refusal = [&](const search::EngineSetup& setup) {
    const auto engine = search::Engine::create(setup, executor);
    REQUIRE(!engine.ok());
    return engine.error().message;
  };
  CHECK(refusal(setup_for({}, 1)).find("at least one template") != std::string::npos);
  search::EngineSetup setup = setup_for(two_templates(), 1);
  setup.options.lanes = 0;
  CHECK(refusal(setup) == "lanes: expected 1 or more, found 0");
  SearchSpace twice = two_templates();
  twice[1].name = "plain";
  CHECK(refusal(setup_for(twice, 1)).find("\"plain\" twice") != std::string::npos);
  SearchSpace empty{template_space("t", {ordinal("a", {1, 2})}, {"a > 2"})};
  CHECK(refusal(setup_for(empty, 1)).find("no combination of levels") != std::string::npos);
}
