// Scores the standing pool and sorts as much of it as is asked for.
#include "search/outlook.h"

#include "core/pinned_math.h"

#include <algorithm>

namespace coppice::search {
namespace {

constexpr std::size_t kMostPooled = 20000;  // of all templates together: all points or none missing
constexpr std::size_t kSampled = 4000;      // held where there are more
constexpr std::size_t kRenewedPoints = 64;  // of those, per look: the least promising
constexpr std::size_t kFavourites = 256;    // of a warm start, put into a sample
constexpr std::size_t kFirstPart = 128;     // sorted at once; then four times as many
// A class other than the headline counts for less: it has its own best, but not the run's.
constexpr double kOtherClassWeight = 0.15;
constexpr std::size_t kBarLeaders = 8;
}  // namespace

Outlook::Outlook(Shared& shared, planner::WorldModel& model)
    : shared_(shared), model_(model), bars_(shared.domain.classes().size()) {}

void Outlook::fill() {
  filled_ = true;
  std::size_t listed = 0;
  bool all_listed = true;
  for (std::uint32_t t = 0; t < shared_.domain.space().size(); ++t) {
    if (!shared_.domain.hopeless(t).empty()) {
      continue;
    }
    spaces_.emplace_back(shared_.domain, t, std::vector<Pin>{});
    const auto remaining = spaces_.back().remaining();
    all_listed = all_listed && remaining.has_value();
    listed += remaining.value_or(0);
  }
  whole_ = all_listed && listed <= kMostPooled;
  Rng rng = shared_.draw_stream("pool");
  const std::size_t share =
      std::max<std::size_t>(kSampled / std::max<std::size_t>(1, spaces_.size()), 1);
  for (Subspace& space : spaces_) {
    const std::uint32_t t = space.template_index();
    const auto tried = [&](const Genome& genome) {
      return !shared_.is_new(t, genome);
    };
    for (Genome& genome : space.sample(shared_.domain, tried, whole_ ? kMostPooled : share, rng)) {
      pool_.push_back({t, std::move(genome)});
    }
  }
  if (!whole_) {
    // What others found best must not be missing in a sample.
    for (Point& point : model_.favourites(kFavourites)) {
      if (shared_.domain.permitted(point) &&
          std::find(pool_.begin(), pool_.end(), point) == pool_.end()) {
        pool_.push_back(std::move(point));
      }
    }
  }
}

void Outlook::forget() {
  filled_ = false;
  known_.forget();  // places in the memory of a model that is no more
  spaces_.clear();
  pool_.clear();
  extra_.clear();
  beliefs_.clear();
  order_.clear();
  best_.clear();
  sorted_ = 0;
}

void Outlook::rest() {
  known_ = planner::KnownPoints();
  beliefs_ = std::vector<planner::Belief>();
  best_ = std::vector<Prospect>();
  sorted_ = order_.size();
}

// A pool that is only a sample trades its tried and its least promising points for new ones.
void Outlook::renew() {
  if (whole_ || order_.size() < 2 * kRenewedPoints || spaces_.empty()) {
    return;
  }
  std::nth_element(order_.begin(),
                   order_.end() - kRenewedPoints,
                   order_.end(),
                   [](const Scored& a, const Scored& b) {
                     return a.bound != b.bound ? a.bound > b.bound : a.index < b.index;
                   });
  std::vector<std::uint32_t> places;
  for (auto it = order_.end() - kRenewedPoints; it != order_.end(); ++it) {
    if (it->index < pool_.size()) {
      places.push_back(it->index);
    }
  }
  std::sort(places.begin(), places.end());
  known_.forget();
  Rng rng = shared_.draw_stream("renew");
  for (std::size_t i = 0; i < places.size(); ++i) {
    Subspace& space = spaces_[i % spaces_.size()];
    const std::uint32_t t = space.template_index();
    const auto tried = [&](const Genome& genome) {
      return !shared_.is_new(t, genome);
    };
    if (auto genome = space.draw(shared_.domain, tried, rng)) {
      pool_[places[i]] = {t, std::move(*genome)};
    }
  }
}

double Outlook::estimate(CandidateId candidate) const {
  const CandidateRecord& record = shared_.book.at(candidate);
  if (!record.point || !(record.log_noise > 0.0) || !model_.ready()) {
    return record.log_cost;
  }
  // The model's mean has seen this measurement among others; how far it is to be trusted against
  // the measurement itself is a matter of their spreads.
  const planner::Belief belief = model_.predict(std::span(&*record.point, 1)).front();
  const double own = record.log_noise * record.log_noise;
  const double model = belief.spread * belief.spread;
  const double share = model / (model + own);
  return share * record.log_cost + (1.0 - share) * belief.mean;
}

void Outlook::set_bars() {
  for (std::size_t precision = 0; precision < bars_.size(); ++precision) {
    std::vector<CandidateId> leaders = shared_.book.leaders(precision);
    leaders.resize(std::min(leaders.size(), kBarLeaders));
    bars_[precision].reset();
    for (const CandidateId leader : leaders) {
      const double cost = estimate(leader);
      if (!bars_[precision] || cost < *bars_[precision]) {
        bars_[precision] = cost;
      }
    }
  }
}

std::optional<double> Outlook::bar(std::size_t precision) const {
  if (!bars_[precision] && !bars_[0] && model_.warm()) {
    return 0.0;  // what the best of the warm start's sources did
  }
  return bars_[precision] ? bars_[precision] : bars_[0];
}

// What a gain in this class is worth, per unit of budget.
double Outlook::weight(std::size_t precision, const planner::Belief& belief) const {
  const double value = precision == 0 ? 1.0 : kOtherClassWeight;
  // A budget in seconds is spent by the second, one in attempts by the attempt. What fails is soon
  // over, so that cheaper than usual is no merit.
  const bool by_the_second = shared_.options.budget.seconds.count() > 0 && belief.seconds > 0.0;
  const double usual = shared_.book.mean_seconds();
  return by_the_second && usual > 0.0 ? value * usual / std::max(belief.seconds, usual) : value;
}

Prospect Outlook::prospect(const Point& point, const planner::Belief& belief) const {
  const std::size_t precision = shared_.domain.class_of(point).value_or(0);
  const auto best = bar(precision);
  Prospect out{point, belief};
  const planner::Belief advised = shared_.advice.blend(point, belief);
  out.gain = best ? planner::WorldModel::expected_gain(advised, *best) : belief.p_valid;
  out.value = out.gain * weight(precision, belief);
  return out;
}

std::vector<Prospect> Outlook::judge(const std::vector<Point>& points) {
  std::vector<Prospect> out;
  const std::vector<planner::Belief> beliefs = model_.predict(points);
  for (std::size_t i = 0; i < points.size(); ++i) {
    out.push_back(prospect(points[i], beliefs[i]));
  }
  return out;
}

void Outlook::refresh(const std::vector<Point>& extra) {
  if (!filled_) {
    fill();
  } else {
    renew();
  }
  set_bars();
  extra_ = whole_ ? std::vector<Point>() : extra;
  beliefs_ = model_.predict(pool_, &known_);
  const std::vector<planner::Belief> more = model_.predict(extra_);
  beliefs_.insert(beliefs_.end(), more.begin(), more.end());
  order_.resize(beliefs_.size());
  for (std::uint32_t i = 0; i < order_.size(); ++i) {
    const std::size_t precision = shared_.domain.class_of(point(i)).value_or(0);
    const auto best = bar(precision);
    const planner::Belief advised = shared_.advice.blend(point(i), beliefs_[i]);
    order_[i] = {weight(precision, advised) *
                     (best ? planner::WorldModel::gain_bound(advised, *best) : advised.p_valid),
                 i};
  }
  sorted_ = 0;
  best_.clear();
}

// Takes the next points by their bounds and sorts them by their values.
void Outlook::sort_next_part() {
  const std::size_t part = std::min(order_.size() - sorted_, std::max(kFirstPart, 3 * sorted_));
  const auto from = order_.begin() + static_cast<std::ptrdiff_t>(sorted_);
  const auto to = from + static_cast<std::ptrdiff_t>(part);
  std::partial_sort(from, to, order_.end(), [](const Scored& a, const Scored& b) {
    return a.bound != b.bound ? a.bound > b.bound : a.index < b.index;
  });
  const std::size_t first = best_.size();
  for (auto it = from; it != to; ++it) {
    if (!shared_.book.known(point(it->index))) {
      best_.push_back(prospect(point(it->index), beliefs_[it->index]));
    }
  }
  std::stable_sort(best_.begin() + static_cast<std::ptrdiff_t>(first),
                   best_.end(),
                   [](const Prospect& a, const Prospect& b) { return a.value > b.value; });
  sorted_ += part;
}

const Prospect* Outlook::at(std::size_t rank) {
  while (rank >= best_.size() && sorted_ < order_.size()) {
    sort_next_part();
  }
  return rank < best_.size() ? &best_[rank] : nullptr;
}

}  // namespace coppice::search
