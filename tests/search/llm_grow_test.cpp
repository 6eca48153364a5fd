// Kernels of language models that become templates, and advice about the search.
#include "search/advice.h"
#include "tests/search/model_play.h"

using namespace coppice;
using namespace coppice::test;
using coppice::search::EngineSetup;

namespace {

// An idea whose text has axes: a bowl that is deeper than the rules' templates.
LlmReplied idea_with_axes(const LlmAsked& asked, const std::string& name) {
  LlmReplied reply = idea(asked, "axes of " + name);
  const TemplateSpace space =
      template_space(name, {ordinal("depth", {1, 2, 4, 8, 16}), ordinal("rows", {1, 2, 3, 4, 5})});
  reply.idea->spec.genome = space.space.default_genome();
  reply.idea->space = to_json(space);
  return reply;
}

Answer deep_bowl(const Proposed& proposed) {
  const bool model = proposed.spec.template_name.starts_with("llm_") || proposed.spec.source;
  Answer answer = bowl(proposed);
  answer.log_cost -= model ? 0.5 : 0.0;
  return answer;
}

ModelPlay growing(int attempts = 60) {
  EngineSetup setup = with_model(attempts);
  setup.options.llm.slots = 1;
  return {std::move(setup), deep_bowl, [](const LlmAsked& asked, std::size_t count) {
            return count == 0 ? idea_with_axes(asked, "llm_1") : no_idea(asked, true);
          }};
}

std::int64_t in_template(const ModelPlay& play, const std::string& name) {
  return std::ranges::count_if(
      const_cast<ModelPlay&>(play).play().proposals, [&](const Proposed& p) {
        return p.fidelity == Fidelity::search && p.spec.template_name == name;
      });
}

// The reason of the edit that brought the node with this title.
std::string why_inserted(ModelPlay& play, const std::string& title) {
  for (const std::vector<std::string>& decisions : play.play().transcript.decisions) {
    for (const std::string& bytes : decisions) {
      const auto event = decode(bytes);
      const auto* applied = std::get_if<EditApplied>(&*event);
      const auto* insert = applied != nullptr ? std::get_if<Insert>(&applied->edit) : nullptr;
      if (insert != nullptr && insert->title == title) {
        return insert->reason;
      }
    }
  }
  return "no such node";
}

// A model that has advice and nothing else.
ModelPlay advised(const std::vector<LlmPrior>& priors, std::vector<Edit> edits = {}) {
  EngineSetup setup = with_model(60);
  setup.options.llm.slots = 1;
  setup.options.llm.share = 0.0;
  setup.options.llm.advise = 8;
  const auto answer = [priors, edits](const LlmAsked& asked, std::size_t) {
    if (asked.action != "advise") {
      return no_idea(asked);
    }
    LlmReplied reply;
    reply.request = asked.request;
    reply.advice = LlmAdvice{asked.request.value == 1 ? edits : std::vector<Edit>(), priors};
    return reply;
  };
  return {std::move(setup), bowl, answer, 1};
}

}  // namespace

TEST_CASE(
    "axes that a right kernel declares enter the space and the frontier, and rules tune them") {
  ModelPlay play = growing();
  play.run();
  CHECK(play.of_model() == 1);
  CHECK(in_template(play, "llm_1") >= 5);
  const auto frontier = play.play().view().frontier();
  const auto of_depth = std::ranges::count_if(frontier, [](const search::FrontierEntry& entry) {
    return entry.template_name == "llm_1" && entry.axis == "depth";
  });
  CHECK(of_depth == 5);
  CHECK(std::ranges::any_of(frontier, [](const search::FrontierEntry& entry) {
    return entry.template_name == "llm_1" && entry.attempts > 0;
  }));
  // The bottom of its bowl, which the first version is not at.
  CHECK(play.play().view().best_log_cost == Approx(-0.5));
  CHECK(why_inserted(play, "llm_1").find("is right: its 2 axes") != std::string::npos);
}

TEST_CASE("a run that grew replays to the byte, and following it comes to the same view") {
  ModelPlay play = growing();
  play.run();
  InlineExecutor executor;
  EngineSetup setup = with_model(60);
  setup.options.llm.slots = 1;
  auto engine = search::Engine::create(setup, executor);
  auto follower = search::Engine::create(setup, executor);
  REQUIRE(engine.ok());
  REQUIRE(follower.ok());
  const Transcript& seen = play.play().transcript;
  for (std::size_t i = 0; i < seen.inputs.size(); ++i) {
    std::vector<std::string> decided;
    for (const Event& event : engine->handle(*decode(encode(seen.inputs[i])))) {
      decided.push_back(encode(event));
    }
    REQUIRE(decided == seen.decisions[i]);
    REQUIRE(follower->follow(seen.inputs[i]).ok());
    for (const std::string& bytes : seen.decisions[i]) {
      const auto followed = follower->follow(*decode(bytes));
      INFO((followed.ok() ? "" : followed.error().message));
      REQUIRE(followed.ok());
    }
  }
  CHECK(follower->view().best == play.play().view().best);
  CHECK(follower->view().frontier().size() == play.play().view().frontier().size());
  CHECK(follower->view().nodes().size() == play.play().view().nodes().size());
}

TEST_CASE("a kernel that is far behind does not become a template") {
  EngineSetup setup = with_model(40);
  setup.options.llm.slots = 1;
  const World slow = [](const Proposed& proposed) {
    Answer answer = bowl(proposed);
    answer.log_cost += proposed.spec.source ? 1.0 : 0.0;
    return answer;
  };
  ModelPlay play(std::move(setup), slow, [](const LlmAsked& asked, std::size_t count) {
    return count == 0 ? idea_with_axes(asked, "llm_1") : no_idea(asked, true);
  });
  play.run();
  CHECK(in_template(play, "llm_1") == 0);
}

TEST_CASE("beliefs about levels are logged before each measurement and trusted by their score") {
  // In the bowl level 2 of each axis is the best.
  ModelPlay play = advised({{"tile", std::int64_t{32}, 0.2, 1.0},
                            {"unroll", std::int64_t{4}, 0.1, 1.0},
                            {"tile", std::int64_t{256}, -0.4, 1.0}});
  play.run();
  std::int64_t said = 0;
  for (const Proposed& proposed : play.play().proposals) {
    said += proposed.opinion ? 1 : 0;
  }
  CHECK(said > 3);
  CHECK(std::ranges::count(play.asked, "advise", &LlmAsked::action) >= 4);  // on a schedule

  search::Advice wrong, right;
  CHECK(right.trust() == wrong.trust());
  for (int i = 0; i < 8; ++i) {
    right.learn(i, 2.0 * i);
    wrong.learn(-i, 2.0 * i);
  }
  CHECK(right.trust() > 0.6);
  CHECK(wrong.trust() == 0.0);
}

TEST_CASE(
    "edits of advice are applied: an idea waits under its node and is asked for with its text") {
  Insert insert;
  insert.node = {0};
  insert.parent = {2};
  insert.kind = NodeKind::idea;
  insert.template_name = two_templates().front().name;
  insert.title = "stage the keys";
  insert.text = "through shared memory";
  insert.priority = 0.3;
  insert.reason = "loads are late";
  EngineSetup setup = with_model(40);
  setup.options.llm.slots = 1;
  setup.options.llm.advise = 8;
  setup.options.llm.share = 0.1;
  search::Engine* engine = nullptr;
  std::optional<ModelPlay> play;
  play.emplace(
      std::move(setup),
      world_with({{sha256("code"), {FailureClass::none, -1.0, ""}}}),
      [&](const LlmAsked& asked, std::size_t) {
        if (asked.action != "advise") {
          return asked.why.find("idea that waits") != std::string::npos ? idea(asked, "code")
                                                                        : no_idea(asked);
        }
        LlmReplied reply;
        reply.request = asked.request;
        reply.advice.emplace();
        const auto nodes = engine->view().nodes();
        if (std::ranges::none_of(nodes,
                                 [](const auto& n) { return n.title == "stage the keys"; })) {
          insert.node = {nodes.size() + 1};
          reply.advice->edits = {insert, Prune{{1}, "the root can't be"}};
        }
        return reply;
      },
      1);
  engine = &play->play().engine();
  play->run();
  CHECK(play->of_model() == 1);
  CHECK(play->story("stage the keys").find("its code is tried under node") == 0);
  CHECK(play->story("code").find("faster by") == 0);
  CHECK(play->play().view().best_log_cost == Approx(-1.0));
}
