// The language model's place in the engine: its share, its repairs, its failures, and replay.
#include "tests/search/model_play.h"

using namespace coppice;
using namespace coppice::test;
using coppice::search::EngineSetup;

TEST_CASE("with one slot an idea goes draft, repair, repair, and ends as the best of the run") {
  EngineSetup setup = with_model(40);
  setup.options.llm.slots = 1;
  ModelPlay play(std::move(setup),
                 world_with({{sha256("b"), {FailureClass::wrong_result, 0.0, ""}},
                             {sha256("c"), {FailureClass::none, -2.0, ""}}}),
                 [](const LlmAsked& asked, std::size_t count) {
                   const char* codes[] = {"a", "b", "c"};
                   return count < 3 ? idea(asked, codes[count]) : no_idea(asked);
                 });
  play.run();
  REQUIRE(play.asked.size() >= 3);
  CHECK(play.asked[1].action == "repair");
  CHECK(play.asked[2].action == "repair");
  CHECK(play.asked[1].why.find("compile_error") != std::string::npos);
  CHECK(play.asked[2].why.find("wrong_result") != std::string::npos);
  CHECK(play.asked[1].node == play.asked[2].node);
  CHECK(play.story("a").find("faster by") == 0);
  REQUIRE(play.play().view().best);
  REQUIRE(play.play().promotions.size() == 1);
  const auto& winner = play.play().proposals.back();
  CHECK(winner.fidelity == Fidelity::promote);
  CHECK(winner.spec.source == sha256("c"));
}

TEST_CASE(
    "a model that always brings broken code costs its share at most, and rules lose nothing") {
  std::size_t n = 0;
  ModelPlay play(with_model(120), world_with({}), [&n](const LlmAsked& asked, std::size_t) {
    return idea(asked, "broken " + std::to_string(n++));
  });
  play.run();
  CHECK(play.of_model() > 2);
  CHECK(play.of_model() <= 1 + 120 / 4);
  // It gets rarer: the second half has fewer than the first.
  const auto half = static_cast<std::ptrdiff_t>(play.play().proposals.size() / 2);
  const auto count = [](auto begin, auto end) {
    return std::count_if(
        begin, end, [](const Proposed& p) { return p.spec.template_name.empty(); });
  };
  const auto& all = play.play().proposals;
  CHECK(count(all.begin() + half, all.end()) < count(all.begin(), all.begin() + half));
  EngineSetup alone = setup_for(two_templates(), 120 - play.of_model());
  InlineExecutor executor;
  Play rules(std::move(alone), bowl, executor);
  rules.run();
  CHECK(play.play().view().best_log_cost <= rules.view().best_log_cost + 1e-9);
}

TEST_CASE("the same idea again costs no attempt, and its bringer is asked ever more rarely") {
  ModelPlay play(with_model(100),
                 world_with({{sha256("same"), {FailureClass::none, 3.0, ""}}}),
                 [](const LlmAsked& asked, std::size_t) { return idea(asked, "same"); });
  play.run();
  CHECK(play.of_model() == 1);
  CHECK(play.asked.size() < 30);
  CHECK(play.story("same").find("right, but slower") == 0);
}

TEST_CASE("replies that fail make it rest; a provider that is gone is not asked again") {
  ModelPlay failing(
      with_model(100),
      world_with({}),
      [](const LlmAsked& asked, std::size_t) { return no_idea(asked); },
      1);
  failing.run();
  CHECK(failing.of_model() == 0);
  CHECK(failing.of_rules() == 100);
  CHECK(failing.asked.size() < 30);
  ModelPlay gone(
      with_model(60),
      world_with({}),
      [](const LlmAsked& asked, std::size_t) { return no_idea(asked, true); },
      1);
  gone.run();
  CHECK(gone.asked.size() <= 2);  // both slots
  CHECK(gone.of_rules() == 60);
}

TEST_CASE("levels that an idea declares are tried once its first version is right") {
  EngineSetup setup = with_model(60);
  setup.options.llm.slots = 1;
  const std::vector<Genome> variants = {{{1}}, {{2}}};
  ModelPlay play(std::move(setup),
                 world_with({{sha256("axes"), {FailureClass::none, 0.2, ""}}}),
                 [&](const LlmAsked& asked, std::size_t count) {
                   return count == 0 ? idea(asked, "axes", variants) : no_idea(asked);
                 });
  play.run();
  CHECK(play.of_model() == 3);
}

TEST_CASE("a run without rules left waits for the model's answer") {
  EngineSetup setup = setup_for({template_space("tiny", {ordinal("tile", {1, 2})})}, 10);
  setup.options.llm.on = true;
  setup.options.llm.slots = 1;
  ModelPlay play(
      std::move(setup),
      world_with({{sha256("x"), {FailureClass::none, -1.0, ""}}}),
      [](const LlmAsked& asked, std::size_t count) {
        return count == 0 ? idea(asked, "x") : no_idea(asked, true);
      },
      50);
  play.run();
  CHECK(play.of_model() == 1);
}

TEST_CASE("a run with a model replays to the byte from its inputs") {
  std::size_t n = 0;
  ModelPlay play(
      with_model(80),
      world_with({{sha256("i3"), {FailureClass::none, -0.5, ""}}}),
      [&n](const LlmAsked& asked, std::size_t) { return idea(asked, "i" + std::to_string(n++)); });
  play.run();
  InlineExecutor executor;
  auto engine = search::Engine::create(with_model(80), executor);
  REQUIRE(engine.ok());
  const Transcript& seen = play.play().transcript;
  for (std::size_t i = 0; i < seen.inputs.size(); ++i) {
    std::vector<std::string> decided;
    for (const Event& event : engine->handle(seen.inputs[i])) {
      decided.push_back(encode(event));
    }
    REQUIRE(decided == seen.decisions[i]);
  }
}

TEST_CASE("following a run with a model comes to the same view as running it") {
  std::size_t n = 0;
  ModelPlay play(
      with_model(80),
      world_with({{sha256("i3"), {FailureClass::none, -0.5, ""}}}),
      [&n](const LlmAsked& asked, std::size_t) { return idea(asked, "i" + std::to_string(n++)); });
  play.run();
  InlineExecutor executor;
  auto engine = search::Engine::create(with_model(80), executor);
  REQUIRE(engine.ok());
  const Transcript& seen = play.play().transcript;
  for (std::size_t i = 0; i < seen.inputs.size(); ++i) {
    REQUIRE(engine->follow(seen.inputs[i]).ok());
    for (const std::string& bytes : seen.decisions[i]) {
      const auto followed = engine->follow(*decode(bytes));
      INFO((followed.ok() ? "" : followed.error().message));
      REQUIRE(followed.ok());
    }
  }
  CHECK(engine->view().attempts == play.play().view().attempts);
  CHECK(engine->view().best == play.play().view().best);
  CHECK(engine->view().nodes().size() == play.play().view().nodes().size());
}

TEST_CASE("questions that an interruption lost are forgotten, repairs are asked again") {
  EngineSetup setup = with_model(60);
  setup.options.llm.slots = 1;
  InlineExecutor executor;
  Play play(std::move(setup), world_with({}), executor);
  std::optional<LlmAsked> question;
  const auto until_asked = [&] {
    question.reset();
    for (int i = 0; i < 40 && !question; ++i) {
      for (const Event& event : play.feed(WorkRequested{0})) {
        if (const auto* asked = std::get_if<LlmAsked>(&event)) {
          question = *asked;
        }
      }
      if (!question && !play.flying.empty()) {
        play.land();
      }
    }
    REQUIRE(question);
  };
  until_asked();
  play.feed(idea(*question, "broken"));
  until_asked();
  CHECK(question->action == "repair");
  const LlmRequestId lost = question->request;
  std::vector<AttemptId> flying;
  for (const Proposed& proposed : play.flying) {
    flying.push_back(proposed.attempt);
  }
  play.flying.clear();
  play.feed(Resumed{flying, ""});
  until_asked();
  CHECK(question->action == "repair");
  CHECK(question->request != lost);
  CHECK(play.feed(idea(LlmAsked{lost, {}, "repair", {}, ""}, "late")).empty());
}
