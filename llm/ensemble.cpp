// The bandit over models: a normal posterior of each model's gain, sampled and divided by its cost.
#include "llm/ensemble.h"

#include "core/random.h"

#include <algorithm>
#include <cmath>

namespace coppice::llm {
namespace {

constexpr int kFailuresBeforeRest = 3;
constexpr std::uint64_t kFirstRest = 8;
constexpr double kLeastCost = 1e-6;

}  // namespace

Ensemble::Ensemble(std::vector<Arm> arms, EnsembleOptions options) : options_(options) {
  for (Arm& arm : arms) {
    State state;
    state.arm = std::move(arm);
    states_.push_back(std::move(state));
  }
}

double Ensemble::cost_of_call(const Credit& credit) const {
  return std::max(kLeastCost, credit.dollars + credit.seconds * options_.dollars_per_second);
}

double Ensemble::pooled_gain() const {
  // Two pseudo-outcomes as expected, then what all models have shown.
  double gain = 2.0 * options_.expected_gain;
  double weight = 2.0;
  for (const State& state : states_) {
    gain += state.gain;
    weight += state.weight;
  }
  return gain / weight;
}

std::optional<std::size_t> Ensemble::choose() {
  const std::uint64_t choice = choices_++;
  Rng rng = stream(options_.seed, "llm_ensemble", choice);
  const double prior = pooled_gain();
  std::optional<std::size_t> best;
  double best_score = 0.0;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const State& state = states_[i];
    const double deviate = rng.normal();  // drawn for every model: a rest changes no other's luck
    if (state.gone || choice < state.rests_until) {
      continue;
    }
    const double weight = state.weight + 1.0;
    const double mean = (state.gain + prior) / weight;
    // The spread of gains: what was seen, and at least the prior's own size.
    const double variance =
        std::max(state.square / weight - mean * mean, 0.0) + prior * prior / weight;
    const double sample = mean + deviate * std::sqrt(variance / weight);
    const double cost =
        (state.cost + cost_of_call({.dollars = state.arm.dollars, .seconds = state.arm.seconds})) /
        (state.cost_weight + 1.0);
    // A sample below zero still ranks: the dearer such a model, the worse.
    const double score = sample >= 0.0 ? sample / cost : sample * cost;
    if (!best || score > best_score) {
      best = i;
      best_score = score;
    }
  }
  if (best) {
    ++states_[*best].chosen;
  }
  return best;
}

void Ensemble::charge(State& state, const Credit& cost) const {
  state.cost = state.cost * options_.memory + cost_of_call(cost);
  state.cost_weight = state.cost_weight * options_.memory + 1.0;
}

void Ensemble::credit(std::size_t arm, const Credit& credit) {
  State& state = states_.at(arm);
  const double gain = credit.gain > 0.0 ? std::min(credit.gain, 10.0) : 0.0;  // also for NaN
  state.gain = state.gain * options_.memory + gain;
  state.square = state.square * options_.memory + gain * gain;
  state.weight = state.weight * options_.memory + 1.0;
  ++state.judged;
  state.in_a_row = 0;
  state.rests = 0;
  charge(state, credit);
}

void Ensemble::failed(std::size_t arm, FailureKind kind, const Credit& cost) {
  State& state = states_.at(arm);
  ++state.failures;
  if (kind == FailureKind::budget || kind == FailureKind::cancelled) {
    return;  // not the model's doing
  }
  state.gone = state.gone || kind == FailureKind::auth || kind == FailureKind::tls;
  charge(state, cost);
  state.gain *= options_.memory;
  state.square *= options_.memory;
  state.weight = state.weight * options_.memory + 1.0;
  if (++state.in_a_row >= kFailuresBeforeRest) {
    state.rests_until = choices_ + (kFirstRest << std::min(state.rests, 20));
    ++state.rests;
    state.in_a_row = 0;
  }
}

Json Ensemble::report() const {
  return Json::array_of(states_, [this](const State& state) {
    const double weight = std::max(state.weight, 1.0);
    return Json::object()
        .set("profile", state.arm.profile)
        .set("chosen", state.chosen)
        .set("judged", state.judged)
        .set("failed", state.failures)
        .set("mean_gain", state.gain / weight)
        .set("mean_cost", state.cost / std::max(state.cost_weight, 1.0))
        .set("state",
             state.gone                     ? "gone"
             : choices_ < state.rests_until ? "resting"
                                            : "active");
  });
}

}  // namespace coppice::llm
