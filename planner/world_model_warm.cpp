// The warm start: the sources' expectation is the process's mean, and the process learns what is
// different here.
#include "core/pinned_math.h"
#include "planner/world_model_state.h"

#include <algorithm>
#include <cmath>

namespace coppice::planner {

namespace {

constexpr double kWarmScore = 4.0;   // observations that the spread before any data is worth
constexpr double kToldFailed = 4.0;  // points that "what failed there fails here" is worth
constexpr double kToldRate = 0.8;
constexpr std::size_t kCompared = 512;  // points by which sources are compared with each other

}  // namespace

void WorldModel::State::set_warm(std::vector<WarmSource> given, const SearchSpace& space) {
  if (given.empty()) {
    return;
  }
  warm.emplace(space, std::move(given), *executor);
  told_failed.assign(warm->size(), 0.0);
  failed.assign(warm->size(), 0.0);
  std::vector<bool> usable;
  for (std::size_t s = 0; s < warm->size(); ++s) {
    usable.push_back(warm->usable(s));
  }
  std::vector<double> slow;
  for (const Hearsay& said : warm->ask(warm->cross_section(kCompared))) {
    slow.push_back(said.slow);
  }
  believed = beliefs_in(slow, usable);
  judge_sources();
  if (warmed()) {
    scale = tuning.warm_spread;
    process.emplace(shape_of(hyper, group), encoder.width());
    next_fit = 1;
  }
}

void WorldModel::State::hear(const Observation& observation) {
  if (!warm) {
    return;
  }
  const std::vector<Hearsay> said = warm->ask(std::span(&observation.point, 1));
  for (std::size_t s = 0; s < said.size(); ++s) {
    if (said[s].fails > 0.5) {
      told_failed[s] += 1.0;
      failed[s] += observation.valid ? 0.0 : 1.0;
    }
    if (observation.valid) {
      seen_slow.push_back(said[s].slow);
    }
  }
}

void WorldModel::State::judge_sources() {
  if (!warm) {
    return;
  }
  std::vector<Comparison> comparisons;
  for (const Seen& one : seen) {
    comparisons.push_back({{seen_slow.data() + one.slot * sources(), sources()}, one.log_cost});
  }
  trust = judge_warm(comparisons, believed);
}

// The targets are what the sources do not explain.
void WorldModel::State::standardise_warm() {
  standardise();
  double range = 0.0;
  double best = seen.front().log_cost;
  for (std::size_t s = 0; s < sources(); ++s) {
    range += trust.weight[s] * warm->ceiling(s);
  }
  for (const Seen& one : seen) {
    best = std::min(best, one.log_cost);
  }
  ceiling = std::max(ceiling, best + trust.slope * range);
  std::vector<double> rest;
  for (const Seen& one : seen) {
    rest.push_back(std::min(one.log_cost, ceiling) - expected(one));
  }
  std::vector<double> sorted = rest;
  std::sort(sorted.begin(), sorted.end());
  shift = 0.5 * (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]);
  double square = kWarmScore * tuning.warm_spread * tuning.warm_spread;
  for (const double one : rest) {
    square += (one - shift) * (one - shift);
  }
  scale =
      std::max(std::sqrt(square / (static_cast<double>(rest.size()) + kWarmScore)), kLeastScale);
}

double WorldModel::State::warm_p_valid(std::span<const double> fails) const {
  double doubt = 0.0;
  for (std::size_t s = 0; s < fails.size(); ++s) {
    const double rate = (failed[s] + kToldFailed * kToldRate) / (told_failed[s] + kToldFailed);
    doubt += trust.weight[s] * fails[s] * rate;
  }
  return std::clamp(1.0 - doubt, 0.02, 1.0);
}

Json WorldModel::State::explain_warm() const {
  Json list = Json::array();
  for (std::size_t s = 0; s < sources(); ++s) {
    list.push(Json::object()
                  .set("name", warm->name(s))
                  .set("usable", warm->usable(s))
                  .set("rank_correlation", trust.rank_correlation[s])
                  .set("trust", trust.trust[s])
                  .set("weight", trust.held ? trust.weight[s] : 0.0));
  }
  return Json::object()
      .set("held", trust.held)
      .set("slope", trust.held ? trust.slope : 0.0)
      .set("sources", std::move(list));
}

}  // namespace coppice::planner
