// What the tests of language models in the engine share: a run with a scripted model.
#pragma once

#include "tests/search/fake_world.h"

#include <algorithm>
#include <map>

namespace coppice::test {

// Plays a run in which a scripted model answers each question after some results have come.
class ModelPlay {
 public:
  using Answerer = std::function<LlmReplied(const LlmAsked&, std::size_t count)>;

  ModelPlay(search::EngineSetup setup, World world, Answerer answerer, int delay = 3)
      : play_(std::move(setup), std::move(world), executor_),
        answerer_(std::move(answerer)),
        delay_(delay) {}

  void run() {
    while (!play_.stopped) {
      step(WorkRequested{0});
      if (!play_.flying.empty()) {
        play_.land();
        collect(play_.transcript.decisions.back());
        ++landed_;
      }
      deliver();
    }
  }

  Play& play() { return play_; }
  std::int64_t of_model() const {
    return std::count_if(play_.proposals.begin(), play_.proposals.end(), [](const Proposed& p) {
      return p.fidelity == Fidelity::search && p.spec.template_name.empty();
    });
  }
  std::int64_t of_rules() const {
    return std::count_if(play_.proposals.begin(), play_.proposals.end(), [](const Proposed& p) {
      return p.fidelity == Fidelity::search && !p.spec.template_name.empty();
    });
  }
  // What the tree says about the node with this title.
  std::string story(const std::string& title) const {
    for (const search::NodeView& node : const_cast<ModelPlay*>(this)->play_.view().nodes()) {
      if (node.title == title) {
        return node.reason;
      }
    }
    return "no such node";
  }

  std::vector<LlmAsked> asked;
  std::vector<std::size_t> asked_after;  // results by then

 private:
  void step(const Event& input) {
    play_.feed(input);
    collect(play_.transcript.decisions.back());
  }
  void collect(const std::vector<std::string>& decisions) {
    for (const std::string& bytes : decisions) {
      const auto event = decode(bytes);
      REQUIRE(event.ok());
      if (const auto* question = std::get_if<LlmAsked>(&*event)) {
        asked.push_back(*question);
        asked_after.push_back(landed_);
        due_.emplace_back(landed_ + static_cast<std::size_t>(delay_), *question);
      }
    }
  }
  void deliver() {
    // With nothing in flight only an answer can go on.
    while (!due_.empty() && (due_.front().first <= landed_ || play_.flying.empty())) {
      const LlmAsked question = due_.front().second;
      due_.pop_front();
      step(answerer_(question, answered_++));
    }
  }

  InlineExecutor executor_;
  Play play_;
  Answerer answerer_;
  int delay_;
  std::size_t landed_ = 0, answered_ = 0;
  std::deque<std::pair<std::size_t, LlmAsked>> due_;
};

inline search::EngineSetup with_model(std::int64_t attempts) {
  search::EngineSetup setup = setup_for(two_templates(), attempts);
  setup.options.llm.on = true;
  setup.options.llm.actions = {"rewrite", "crossover"};
  setup.options.llm.advise = 0;
  return setup;
}

inline LlmReplied idea(const LlmAsked& asked,
                       const std::string& code,
                       std::vector<Genome> variants = {}) {
  LlmReplied reply;
  reply.request = asked.request;
  reply.model = "m";
  LlmIdea found;
  found.title = code;
  found.spec.source = sha256(code);
  found.spec.plan = sha256("plan");
  found.variants = std::move(variants);
  reply.idea = found;
  return reply;
}

inline LlmReplied no_idea(const LlmAsked& asked, bool gone = false) {
  LlmReplied reply;
  reply.request = asked.request;
  reply.failed = true;
  reply.message = "nothing usable";
  reply.gone = gone;
  return reply;
}

// What the world says of stored texts by digest, and of the rules' points as bowl().
inline World world_with(std::map<Digest, Answer> answers) {
  return [answers = std::move(answers)](const Proposed& proposed) {
    if (!proposed.spec.template_name.empty()) {
      return bowl(proposed);
    }
    const auto found = answers.find(*proposed.spec.source);
    return found == answers.end() ? Answer{FailureClass::compile_error, 0.0, ""} : found->second;
  };
}

}  // namespace coppice::test
