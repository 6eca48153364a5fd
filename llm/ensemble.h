// Ensemble: which of several models to ask next, by what their proposals were worth and cost.
#pragma once

#include "core/json.h"
#include "llm/provider.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace coppice::llm {

struct EnsembleOptions {
  std::uint64_t seed = 1;
  // What a second of a model's time is worth in dollars: makes slow models as comparable as dear
  // ones.
  double dollars_per_second = 0.001;
  double memory = 0.97;         // weight of an outcome after each later one of the same model
  double expected_gain = 0.02;  // of a model not yet tried: in ln(speed-up)
};

// What came of one proposal.
struct Credit {
  double gain =
      0.0;  // improvement in ln(time) over the best before; 0 when none, or when it failed
  double dollars = 0.0;
  double seconds = 0.0;  // of the model
};

// Thompson sampling on gain per cost. Deterministic: a function of the options and of the calls in
// their order; arithmetic that is the same on every machine. Not thread-safe: it belongs to the
// one who decides.
class Ensemble {
 public:
  struct Arm {
    std::string profile;
    double dollars = 0.01;  // expected of one call, before the first is paid
    double seconds = 10.0;
  };
  Ensemble(std::vector<Arm> arms, EnsembleOptions options);

  // The model to ask; nothing while all rest or are gone. Counts as a choice.
  std::optional<std::size_t> choose();
  // The proposal was judged.
  void credit(std::size_t arm, const Credit& credit);
  // There was no proposal. A model whose key is wrong is gone; one that fails three times in a row
  // rests for 8 choices, then 16, 32, ...
  void failed(std::size_t arm, FailureKind kind, const Credit& cost);

  Json report() const;  // one row a model: choices, mean gain, mean cost, state
  const std::string& profile(std::size_t arm) const { return states_[arm].arm.profile; }
  std::size_t size() const { return states_.size(); }

 private:
  struct State {
    Arm arm;
    std::int64_t chosen = 0, judged = 0, failures = 0;
    int in_a_row = 0;
    int rests = 0;
    std::uint64_t rests_until = 0;  // number of the choice
    bool gone = false;
    double weight = 0.0, gain = 0.0, square = 0.0;  // discounted sums
    double cost_weight = 0.0, cost = 0.0;
  };
  double cost_of_call(const Credit& credit) const;
  void charge(State& state, const Credit& cost) const;
  double pooled_gain() const;
  EnsembleOptions options_;
  std::vector<State> states_;
  std::uint64_t choices_ = 0;
};

}  // namespace coppice::llm
