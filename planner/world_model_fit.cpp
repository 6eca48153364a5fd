// Birth and fitting: scales, lengthscales, and which observations the posterior holds.
#include "core/check.h"
#include "core/pinned_math.h"
#include "planner/world_model_state.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coppice::planner {

namespace {

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

}  // namespace

WorldModel::State::State(const SearchSpace& space, Executor& executor_in, const ModelTuning& t)
    : executor(&executor_in),
      tuning(t),
      encoder(space),
      rates(space),
      votes(encoder.width()),
      prior(GpPrior::for_groups(encoder.groups())) {
  for (std::size_t d = 0; d < encoder.width(); ++d) {
    group.push_back(encoder.group(d));
  }
  prior.length_mean += pinned::log(t.length_share / 0.5);
  prior.length_spread = t.length_spread;
  prior.nugget_mean = pinned::log(t.nugget);
  hyper = prior.centre(encoder.groups());
  vote_hyper = hyper;
  votes.set_weights(shape_of(hyper, group).weight);
}

// Fast costs matter, slow ones only as "slow": beyond a ceiling they are all alike.
void WorldModel::State::standardise() {
  std::vector<double> sorted;
  for (const Seen& one : seen) {
    sorted.push_back(one.log_cost);
  }
  std::sort(sorted.begin(), sorted.end());
  const double median = quantile(sorted, 0.5);
  ceiling =
      std::max(median + tuning.clip * (median - sorted.front()), sorted.front() + kLeastScale);
  for (double& cost : sorted) {
    cost = std::min(cost, ceiling);
  }
  shift = quantile(sorted, tuning.centre);
  double square = 0.0;
  for (const double cost : sorted) {
    square += (cost - shift) * (cost - shift);
  }
  scale = std::max(std::sqrt(square / static_cast<double>(sorted.size())), kLeastScale);
}

// The best half of what fits, and of the rest the most recent ones; in the order of observation.
std::vector<std::size_t> WorldModel::State::chosen_rows(std::size_t most) const {
  std::vector<std::size_t> rows(seen.size());
  std::iota(rows.begin(), rows.end(), 0U);
  if (rows.size() <= most) {
    return rows;
  }
  std::sort(rows.begin(), rows.end(), [&](std::size_t a, std::size_t b) {
    return seen[a].log_cost != seen[b].log_cost ? seen[a].log_cost < seen[b].log_cost : a < b;
  });
  std::vector<std::size_t> kept(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(most / 2));
  std::vector<std::size_t> rest(rows.begin() + static_cast<std::ptrdiff_t>(most / 2), rows.end());
  // Evenly over the ranks of the rest: the bad ones say where not to look.
  for (std::size_t i = 0; kept.size() < most; ++i) {
    kept.push_back(rest[i * rest.size() / (most - most / 2)]);
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

GpData WorldModel::State::fit_data(const std::vector<std::size_t>& rows) const {
  GpData data;
  data.width = encoder.width();
  data.groups = encoder.groups();
  data.group = group;
  for (const std::size_t row : rows) {
    const auto x = seen_x.begin() + static_cast<std::ptrdiff_t>(row * data.width);
    data.points.insert(data.points.end(), x, x + static_cast<std::ptrdiff_t>(data.width));
    data.targets.push_back(target(seen[row]));
  }
  return data;
}

void WorldModel::State::fit_process() {
  const GpData data = fit_data(chosen_rows(tuning.fit_rows));
  const GpHyper centre = prior.centre(encoder.groups());
  GpFit fit = fit_gp(data, prior, hyper, tuning.fit_steps);
  if (process) {
    // From the middle again, in case the last fit had settled on a side peak.
    GpFit other = fit_gp(data, prior, centre, tuning.fit_steps);
    fit = other.score > fit.score ? other : fit;
  }
  hyper = fit.hyper;
  score = fit.score;
  amplitude = fit.amplitude;
}

void WorldModel::State::refit() {
  judge_sources();
  if (seen.size() < kReady && !warmed()) {
    process.reset();
    next_fit = kReady;
    return;
  }
  if (warmed()) {
    standardise_warm();
  } else {
    standardise();
  }
  if (seen.size() >= 2) {
    fit_process();
  }
  process.emplace(shape_of(hyper, group), encoder.width());
  for (const std::size_t row : chosen_rows(tuning.most_rows)) {
    append(seen[row]);
  }
  append_pending();
  for (Block& block : blocks) {
    block.posterior.reset();
  }
  const auto grown =
      static_cast<std::size_t>(static_cast<double>(seen.size()) * tuning.refit_growth);
  next_fit = std::clamp(grown, seen.size() + 2, seen.size() + tuning.most_rows / 4);
  if (warmed() && seen.size() < tuning.warm_fits) {
    next_fit = seen.size() + 1;  // each of the first ones may change whom to believe
  }
}

// Which axes decide whether a point works: other ones than decide its cost.
void WorldModel::State::refit_votes() {
  const auto grown =
      static_cast<std::size_t>(static_cast<double>(votes.size()) * tuning.refit_growth);
  next_vote_fit = std::min(std::max(grown, votes.size() + 4), 2 * kMostVotes);
  const std::size_t working = votes.size() - votes.failures();
  if (votes.failures() == 0 || working == 0) {
    return;
  }
  GpData data;
  data.width = encoder.width();
  data.groups = encoder.groups();
  data.group = group;
  std::size_t room[] = {kVoteFitRows / 2, kVoteFitRows / 2};
  for (std::size_t i = votes.size(); i-- > 0;) {
    std::size_t& left = room[votes.valid(i) ? 1 : 0];
    if (left > 0) {
      --left;
      const std::span<const double> x = votes.x(i);
      data.points.insert(data.points.end(), x.begin(), x.end());
      data.targets.push_back(votes.valid(i) ? 1.0 : -1.0);
    }
  }
  vote_hyper = fit_gp(data, prior, vote_hyper, tuning.fit_steps).hyper;
  votes.set_weights(shape_of(vote_hyper, group).weight);
}

}  // namespace coppice::planner
