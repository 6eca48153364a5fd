// Turns beliefs about levels into expectations of points, and keeps score of them.
#include "search/advice.h"

#include "planner/warm_trust.h"

#include <algorithm>

namespace coppice::search {
namespace {

constexpr double kFirstTrust = 0.3;  // before anything is measured
constexpr double kWorth = 4.0;       // measurements that the first trust is worth
constexpr std::size_t kEnough = 6;   // from here on beliefs that say nothing are not used at all
constexpr double kLeastCorrelation = 0.1;
constexpr double kOwnSpread = 0.2;  // of a believed log cost, at full trust

}  // namespace

double advice_trust(const std::vector<double>& expected, const std::vector<double>& measured) {
  const double correlation =
      expected.size() < 3 ? 0.0 : planner::rank_correlation(expected, measured);
  if (expected.size() >= kEnough && correlation < kLeastCorrelation) {
    return 0.0;
  }
  const auto count = expected.size() < 3 ? 0.0 : static_cast<double>(expected.size());
  return (kWorth * kFirstTrust + count * std::max(0.0, correlation)) / (kWorth + count);
}

void Advice::take(const std::vector<LlmPrior>& priors, const Domain& domain, const Book& book) {
  for (const LlmPrior& prior : priors) {
    beliefs_[{prior.axis, coppice::to_text(prior.level)}] = prior.gain * prior.confidence;
  }
  effects_.clear();
  for (std::uint32_t t = 0; t < domain.space().size(); ++t) {
    Effects effects;
    for (const Axis& axis : domain.axes(t).axes()) {
      std::vector<double> gains;
      for (const Value& level : axis.levels) {
        const auto found = beliefs_.find({axis.name, coppice::to_text(level)});
        gains.push_back(found == beliefs_.end() ? 0.0 : found->second);
      }
      effects.gain.push_back(std::move(gains));
    }
    effects_.push_back(std::move(effects));
  }
  for (const CandidateId leader : book.leaders(0)) {
    const CandidateRecord& record = book.at(leader);
    if (record.point && !effects_[record.point->template_index].anchor) {
      effects_[record.point->template_index].anchor = Anchor{record.point->genome, record.log_cost};
    }
  }
}

std::optional<double> Advice::expects(const Point& point) const {
  if (point.template_index >= effects_.size() || !effects_[point.template_index].anchor) {
    return std::nullopt;
  }
  const Effects& effects = effects_[point.template_index];
  double gain = 0.0;
  bool says = false;
  for (std::size_t axis = 0; axis < effects.gain.size(); ++axis) {
    const double here = effects.gain[axis][point.genome.levels[axis]];
    const double there = effects.gain[axis][effects.anchor->genome.levels[axis]];
    says = says || here != there;
    gain += here - there;
  }
  return says ? std::optional(effects.anchor->log_cost - gain) : std::nullopt;
}

planner::Belief Advice::blend(const Point& point, planner::Belief belief) const {
  const auto expected = empty() ? std::nullopt : expects(point);
  if (expected && trust_ > 0.0 && belief.spread > 0.0) {
    const double unsure = belief.spread * belief.spread;
    const double share = trust_ * unsure / (unsure + kOwnSpread * kOwnSpread);
    belief.mean += share * (*expected - belief.mean);
  }
  return belief;
}

void Advice::learn(double expected, double measured) {
  expected_.push_back(expected);
  measured_.push_back(measured);
  trust_ = advice_trust(expected_, measured_);
}

}  // namespace coppice::search
