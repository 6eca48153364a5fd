// Kernel votes and smoothed rates.
#include "planner/votes.h"

#include "core/pinned_math.h"

#include <algorithm>
#include <cmath>

namespace coppice::planner {

namespace {

constexpr double kSharper = 4.0;      // half the lengthscale: failures have edges
constexpr double kPriorVotes = 0.25;  // weight of the belief before the votes
constexpr double kPriorSeconds = 0.05;
constexpr double kSmooth = 2.0;  // observations that a level's rate borrows from its template's

}  // namespace

void Votes::add(std::span<const double> x, bool valid, double seconds) {
  points_.insert(points_.end(), x.begin(), x.end());
  valid_.push_back(valid);
  failures_ += valid ? 0 : 1;
  double log_seconds = mean_log_seconds();
  if (seconds > 0.0) {
    log_seconds = pinned::log(seconds);
    sum_log_seconds_ += log_seconds;
    ++timed_;
  }
  log_seconds_.push_back(log_seconds);
}

void Votes::set_weights(std::vector<double> weights) {
  for (double& w : weights) {
    w *= kSharper;
  }
  weights_ = std::move(weights);
  ++generation_;
}

void Votes::forget(std::size_t keep) {
  const auto gone = static_cast<std::ptrdiff_t>(size() - std::min(size(), keep));
  failures_ -= static_cast<std::size_t>(std::count(valid_.begin(), valid_.begin() + gone, false));
  points_.erase(points_.begin(), points_.begin() + gone * static_cast<std::ptrdiff_t>(width_));
  valid_.erase(valid_.begin(), valid_.begin() + gone);
  log_seconds_.erase(log_seconds_.begin(), log_seconds_.begin() + gone);
  ++generation_;
}

double Votes::mean_log_seconds() const {
  return timed_ > 0 ? sum_log_seconds_ / static_cast<double>(timed_) : 0.0;
}

void VoteBlock::extend(const Votes& votes, const float* coordinates) {
  if (generation_ != votes.generation() || weight_.empty()) {
    generation_ = votes.generation();
    counted_ = 0;
    weight_.assign(kBlock, 0.0);
    valid_weight_.assign(kBlock, 0.0);
    log_seconds_.assign(kBlock, 0.0);
  }
  float k[kBlock];
  for (; counted_ < votes.size(); ++counted_) {
    correlate(votes.x(counted_), votes.weights(), coordinates, k);
    const double valid = votes.valid(counted_) ? 1.0 : 0.0;
    const double log_seconds = votes.log_seconds(counted_);
    for (std::size_t i = 0; i < kBlock; ++i) {
      const double likeness = k[i];
      weight_[i] += likeness;
      valid_weight_[i] += likeness * valid;
      log_seconds_[i] += likeness * log_seconds;
    }
  }
}

double VoteBlock::p_valid(std::size_t lane, double prior) const {
  return (valid_weight_[lane] + kPriorVotes * prior) / (weight_[lane] + kPriorVotes);
}

double VoteBlock::seconds(std::size_t lane, const Votes& votes) const {
  if (!votes.knows_seconds()) {
    return 0.0;
  }
  const double log_seconds = (log_seconds_[lane] + kPriorSeconds * votes.mean_log_seconds()) /
                             (weight_[lane] + kPriorSeconds);
  const double size = exp_negative(std::fabs(log_seconds));
  return log_seconds > 0.0 ? 1.0 / size : size;
}

LevelRates::LevelRates(const SearchSpace& space) : all_(space.size()) {
  for (const TemplateSpace& one : space) {
    std::vector<std::vector<Tally>>& axes = tallies_.emplace_back();
    for (const Axis& axis : one.space.axes()) {
      axes.emplace_back(axis.levels.size());
    }
  }
}

void LevelRates::add(const Point& point, bool valid) {
  const auto count = [&](Tally& tally) {
    tally.tried += 1.0;
    tally.failed += valid ? 0.0 : 1.0;
  };
  count(all_[point.template_index]);
  std::vector<std::vector<Tally>>& axes = tallies_[point.template_index];
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    count(axes[axis][point.genome.levels[axis]]);
  }
}

double LevelRates::p_valid(const Point& point) const {
  constexpr double kLeast = 0.02, kMost = 0.995;
  const Tally& all = all_[point.template_index];
  // Before the first failure, nine of ten are expected to work.
  const double base = std::clamp(1.0 - (all.failed + 0.1) / (all.tried + 1.0), kLeast, kMost);
  double worst = base;
  const std::vector<std::vector<Tally>>& axes = tallies_[point.template_index];
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    const Tally& tally = axes[axis][point.genome.levels[axis]];
    const double rate = 1.0 - (tally.failed + kSmooth * (1.0 - base)) / (tally.tried + kSmooth);
    worst = std::min(worst, rate);
  }
  return std::clamp(worst, kLeast, kMost);
}

}  // namespace coppice::planner
