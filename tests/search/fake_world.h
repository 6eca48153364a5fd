// A synthetic op for the engine's tests: spaces with a known landscape, and a driver that plays the
// world.
#pragma once

#include "core/random.h"
#include "search/engine.h"
#include "tests/support/catch.h"

#include <cmath>
#include <deque>
#include <functional>
#include <string>
#include <vector>

namespace coppice::test {

inline Axis ordinal(std::string name, std::vector<std::int64_t> levels) {
  Axis axis;
  axis.name = std::move(name);
  for (const std::int64_t level : levels) {
    axis.levels.emplace_back(level);
  }
  return axis;
}

inline Axis flag(std::string name, bool structural) {
  Axis axis;
  axis.name = std::move(name);
  axis.type = AxisType::boolean;
  axis.levels = {false, true};
  axis.structural = structural;
  return axis;
}

inline TemplateSpace template_space(std::string name,
                                    std::vector<Axis> axes,
                                    const std::vector<std::string>& restrictions = {},
                                    const std::string& precision = "") {
  std::vector<Expr> rules;
  for (const std::string& text : restrictions) {
    rules.push_back(*Expr::parse(text));
  }
  TemplateSpace out;
  out.name = std::move(name);
  auto space = AxisSpace::create(std::move(axes), std::move(rules));
  REQUIRE(space.ok());
  out.space = *space;
  if (!precision.empty()) {
    out.precision = *Expr::parse(precision);
  }
  return out;
}

// Two templates: "plain" (tile, unroll, stages) and "split" with two structural choices.
inline SearchSpace two_templates() {
  return {template_space("plain",
                         {ordinal("tile", {8, 16, 32, 64, 128, 256}),
                          ordinal("unroll", {1, 2, 4, 8}),
                          ordinal("stages", {1, 2, 3, 4})},
                         {"tile * unroll <= 1024"}),
          template_space("split",
                         {flag("fuse", true),
                          flag("packed", true),
                          ordinal("tile", {8, 16, 32, 64, 128}),
                          ordinal("splits", {1, 2, 4, 8, 16})},
                         {"not fuse or splits > 1"})};
}

inline search::EngineSetup setup_for(SearchSpace space, std::int64_t attempts) {
  search::EngineSetup setup;
  setup.seed = 1;
  setup.templates = std::move(space);
  setup.options.budget.attempts = attempts;
  return setup;
}

// What the world answers for a proposal.
struct Answer {
  FailureClass failure = FailureClass::none;
  double log_cost = 0.0;
  std::string precision;
};
using World = std::function<Answer(const Proposed&)>;

inline Evidence evidence_for(const Proposed& proposed, const Answer& answer) {
  Evidence evidence;
  evidence.attempt = proposed.attempt;
  evidence.candidate = proposed.candidate;
  evidence.fidelity = proposed.fidelity;
  evidence.precision = answer.precision;
  evidence.cost.device = Nanoseconds(50'000'000);
  evidence.verdict.failure = answer.failure;
  if (answer.failure == FailureClass::none) {
    evidence.verdict.valid = true;
    evidence.verdict.gate = Gate::physics;
    Performance performance;
    performance.log_cost = answer.log_cost;
    evidence.performance = performance;
  } else {
    evidence.verdict.gate = Gate::smoke;
  }
  return evidence;
}

// A smooth bowl: cheapest at the middle levels, a fused and packed "split" a little better than the
// rest.
inline Answer bowl(const Proposed& proposed) {
  double cost = 0.0;
  for (std::size_t i = 0; i < proposed.spec.genome.levels.size(); ++i) {
    const double off = proposed.spec.genome.levels[i] - 2.0;
    cost += 0.05 * off * off;
  }
  const bool split = proposed.spec.template_name == "split";
  return {FailureClass::none, cost - (split ? 0.2 : 0.0), ""};
}

// One event in, its decisions out; kept for replay.
struct Transcript {
  std::vector<Event> inputs;
  std::vector<std::vector<std::string>> decisions;
};

// Plays a whole run with `lanes` attempts in flight that come back in order.
class Play {
 public:
  Play(search::EngineSetup setup, World world, Executor& executor)
      : lanes_(setup.options.lanes), world_(std::move(world)) {
    auto created = search::Engine::create(std::move(setup), executor);
    INFO((created.ok() ? "" : created.error().message));
    REQUIRE(created.ok());
    engine_.emplace(std::move(created).value());
  }

  search::Engine& engine() { return *engine_; }
  const search::EngineView& view() const { return engine_->view(); }

  std::vector<Event> feed(const Event& input) {
    std::vector<Event> out = engine_->handle(input);
    transcript.inputs.push_back(input);
    transcript.decisions.emplace_back();
    for (const Event& event : out) {
      transcript.decisions.back().push_back(encode(event));
      if (const auto* proposed = std::get_if<Proposed>(&event)) {
        proposals.push_back(*proposed);
        flying.push_back(*proposed);
      }
      if (const auto* edit = std::get_if<EditApplied>(&event)) {
        edits.push_back(edit->edit);
      }
      if (const auto* promoted = std::get_if<Promoted>(&event)) {
        promotions.push_back(*promoted);
      }
      if (const auto* stop = std::get_if<Stopped>(&event)) {
        stopped = *stop;
      }
    }
    return out;
  }

  void land() {
    REQUIRE(!flying.empty());
    const Proposed first = flying.front();
    flying.pop_front();
    feed(Evaluated{evidence_for(first, world_(first))});
  }

  // Until the engine stops, or `most` proposals.
  void run(std::size_t most = 100000) {
    while (!stopped && proposals.size() < most) {
      const std::vector<Event> out = feed(WorkRequested{0});
      const bool waits = std::holds_alternative<Idle>(out.back());
      REQUIRE((!waits || !flying.empty()));
      if (waits || static_cast<int>(flying.size()) >= lanes_) {
        land();
      }
    }
    while (!stopped && !flying.empty()) {
      land();
    }
  }

  Transcript transcript;
  std::vector<Proposed> proposals;
  std::deque<Proposed> flying;
  std::vector<Edit> edits;
  std::vector<Promoted> promotions;
  std::optional<Stopped> stopped;

 private:
  int lanes_;
  World world_;
  std::optional<search::Engine> engine_;
};

}  // namespace coppice::test
