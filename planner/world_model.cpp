// WorldModel: keeps observations, refits at growing intervals, and holds posteriors of known
// points.
#include "planner/world_model.h"

#include "core/check.h"
#include "core/pinned_math.h"
#include "planner/encoder.h"
#include "planner/gp_fit.h"
#include "planner/point_table.h"
#include "planner/votes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coppice::planner {

namespace {

constexpr std::size_t kReady = 3;          // valid observations
constexpr std::size_t kMostSlots = 24576;  // points whose posteriors are kept
constexpr std::size_t kVoteReady = 8;      // evaluations, before what works is learned by axis
constexpr std::size_t kVoteFitRows = 96;   // of which at most half are failures
constexpr std::size_t kMostVotes = 1024;   // twice as many before the oldest half is let go
constexpr double kLeastScale = 1e-3;       // of log costs
constexpr double kUnknown = 1.0;           // spread of a log cost before anything is known

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

// Expected improvement of a unit normal below z: z cdf(z) + pdf(z). Left of -1, where the two
// almost cancel, by Laplace's continued fraction, which keeps its digits and is cheap.
double unit_gain(double z) {
  constexpr double kTail = -1.0;
  constexpr double kHopeless = -8.0;  // below 1e-16
  constexpr double kInverseSqrt2Pi = 0.39894228040143267794;
  if (z < kHopeless) {
    return 0.0;
  }
  if (z > kTail) {
    return std::max(z * pinned::normal_cdf(z) + pinned::normal_pdf(z), 0.0);
  }
  double rest = -z;
  for (int k = z > -2.0 ? 40 : z > -3.0 ? 16 : 10; k >= 2; --k) {
    rest = -z + k / rest;
  }
  return kInverseSqrt2Pi * exp_negative(0.5 * z * z) / (1.0 - z * rest);
}

}  // namespace

// One valid observation as the process sees it.
struct Seen {
  std::uint32_t slot = 0;  // in State::seen_points
  double log_cost = 0.0;
  double log_noise = 0.0;
};

struct WorldModel::State {
  struct Block {
    explicit Block(std::size_t width) : posterior(width) {}
    GpBlock posterior;
    VoteBlock votes;
    double mean[kBlock] = {};
    double variance[kBlock] = {};
  };

  State(const SearchSpace& space_in, std::uint64_t, Executor& executor_in, const ModelTuning& t)
      : executor(&executor_in),
        tuning(t),
        encoder(space_in),
        rates(space_in),
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

  std::vector<double> encode(const Point& point) const {
    std::vector<double> x(encoder.width());
    encoder.encode(point, x);
    return x;
  }

  double target(double log_cost) const { return (std::min(log_cost, ceiling) - shift) / scale; }
  double extra_noise(double log_noise) const {
    const double share = log_noise / scale;
    return share * share;
  }

  void refit();
  void refit_votes();
  void standardise();
  std::vector<std::size_t> chosen_rows(std::size_t most) const;
  GpData fit_data(const std::vector<std::size_t>& rows) const;
  void append(const Seen& one);
  void append_pending();
  std::vector<std::uint32_t> slots_of(std::span<const Point> points) const;
  void update(std::span<const std::uint32_t> slots) const;

  Executor* executor;
  ModelTuning tuning;
  PointEncoder encoder;
  LevelRates rates;
  Votes votes;
  GpPrior prior;
  std::vector<std::size_t> group;

  std::vector<Seen> seen;      // valid observations, in order
  std::vector<double> seen_x;  // their coordinates
  std::size_t observations = 0;
  std::size_t next_fit = kReady, next_vote_fit = kVoteReady;
  std::vector<Point> pending;

  // Of the last fit.
  double shift = 0.0, scale = 1.0, ceiling = 0.0, amplitude = 1.0, score = 0.0;
  GpHyper hyper;
  GpHyper vote_hyper;
  std::optional<GaussianProcess> process;

  // Posteriors that were asked for; a memory of answers, never an input to one.
  mutable PointTable table;
  mutable std::vector<Block> blocks;
};

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
    data.targets.push_back(target(seen[row].log_cost));
  }
  return data;
}

void WorldModel::State::refit() {
  standardise();
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

void WorldModel::State::append(const Seen& one) {
  const std::size_t width = encoder.width();
  process->append(
      {seen_x.data() + one.slot * width, width}, extra_noise(one.log_noise), target(one.log_cost));
}

void WorldModel::State::append_pending() {
  for (const Point& point : pending) {
    process->append(encode(point), 0.0, std::nullopt);
  }
}

// Room in the memory for each point; all older answers go when there is too little.
std::vector<std::uint32_t> WorldModel::State::slots_of(std::span<const Point> points) const {
  std::vector<std::uint32_t> slots;
  slots.reserve(points.size());
  std::size_t fresh = 0;
  for (const Point& point : points) {
    slots.push_back(table.find(point));
    fresh += slots.back() == PointTable::kNone ? 1 : 0;
  }
  if (table.size() + fresh > kMostSlots) {
    table.clear();
    blocks.clear();
    std::fill(slots.begin(), slots.end(), PointTable::kNone);
  }
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (slots[i] != PointTable::kNone) {
      continue;
    }
    const std::size_t before = table.size();
    slots[i] = table.add(points[i]);
    if (table.size() == before) {
      continue;  // the same point twice in one question
    }
    if (slots[i] / kBlock == blocks.size()) {
      blocks.emplace_back(encoder.width());
    }
    Block& block = blocks[slots[i] / kBlock];
    block.posterior.set(slots[i] % kBlock, encode(points[i]));
    block.posterior.reset();
    block.votes = VoteBlock();
  }
  return slots;
}

void WorldModel::State::update(std::span<const std::uint32_t> slots) const {
  std::vector<std::size_t> wanted;
  for (const std::uint32_t slot : slots) {
    wanted.push_back(slot / kBlock);
  }
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  const bool vote = votes.failures() > 0 || votes.knows_seconds();
  executor->parallel_for(wanted.size(), [&](std::size_t i) {
    Block& block = blocks[wanted[i]];
    if (process) {
      block.posterior.extend(*process);
      block.posterior.posterior(*process, block.mean, block.variance);
    }
    if (vote) {
      block.votes.extend(votes, block.posterior.coordinates());
    }
  });
}

WorldModel::WorldModel(const SearchSpace& space,
                       std::uint64_t seed,
                       Executor& executor,
                       const ModelTuning& tuning)
    : state_(new State(space, seed, executor, tuning)) {}
WorldModel::WorldModel(WorldModel&&) noexcept = default;
WorldModel& WorldModel::operator=(WorldModel&&) noexcept = default;
WorldModel::~WorldModel() = default;

void WorldModel::observe(const Observation& observation) {
  State& s = *state_;
  const std::vector<double> x = s.encode(observation.point);
  ++s.observations;
  s.votes.add(x, observation.valid, observation.seconds);
  s.rates.add(observation.point, observation.valid);
  if (s.votes.size() > 2 * kMostVotes) {
    s.votes.forget(kMostVotes);
  }
  if (s.votes.size() >= s.next_vote_fit) {
    s.refit_votes();
  }
  const auto waiting = std::find(s.pending.begin(), s.pending.end(), observation.point);
  const bool first_waiting = waiting == s.pending.begin() && waiting != s.pending.end();
  if (waiting != s.pending.end()) {
    s.pending.erase(waiting);
  }
  if (observation.valid) {
    COPPICE_CHECK(std::isfinite(observation.log_cost));
    s.seen.push_back(Seen{static_cast<std::uint32_t>(s.seen.size()),
                          observation.log_cost,
                          std::max(observation.log_noise, 0.0)});
    s.seen_x.insert(s.seen_x.end(), x.begin(), x.end());
    if (s.seen.size() >= s.next_fit) {
      s.refit();
      return;
    }
  }
  if (!s.process) {
    return;
  }
  const Seen* one = observation.valid ? &s.seen.back() : nullptr;
  if (one != nullptr && first_waiting &&
      s.extra_noise(one->log_noise) < 0.5 * s.process->shape().nugget) {
    s.process->settle_next(s.target(one->log_cost));
    return;
  }
  s.process->truncate(s.process->settled());
  if (one != nullptr) {
    s.append(*one);
  }
  s.append_pending();
}

void WorldModel::set_pending(std::span<const Point> pending) {
  State& s = *state_;
  std::size_t same = 0;
  while (same < pending.size() && same < s.pending.size() && pending[same] == s.pending[same]) {
    ++same;
  }
  s.pending.assign(pending.begin(), pending.end());
  if (s.process) {
    s.process->truncate(s.process->settled() + same);
    for (std::size_t i = same; i < s.pending.size(); ++i) {
      s.process->append(s.encode(s.pending[i]), 0.0, std::nullopt);
    }
  }
}

bool WorldModel::ready() const {
  return state_->process.has_value();
}

std::vector<Belief> WorldModel::predict(std::span<const Point> points) const {
  const State& s = *state_;
  std::vector<Belief> out;
  out.reserve(points.size());
  for (std::size_t start = 0; start < points.size(); start += kMostSlots) {
    const auto part = points.subspan(start, std::min(kMostSlots, points.size() - start));
    const std::vector<std::uint32_t> slots = s.slots_of(part);
    s.update(slots);
    const double noise = s.process ? s.process->shape().nugget : 0.0;
    const bool doubt = s.votes.failures() > 0;
    for (const std::uint32_t slot : slots) {
      const State::Block& block = s.blocks[slot / kBlock];
      const std::size_t lane = slot % kBlock;
      Belief belief;
      belief.spread = kUnknown;
      if (s.process) {
        belief.mean = s.shift + s.scale * block.mean[lane];
        belief.spread = s.scale * std::sqrt(s.amplitude * (block.variance[lane] + noise));
      }
      const bool vote = doubt || s.votes.knows_seconds();
      if (doubt) {
        belief.p_valid = block.votes.p_valid(lane, s.rates.p_valid(s.table.point(slot)));
      }
      belief.seconds = vote ? block.votes.seconds(lane, s.votes) : 0.0;
      out.push_back(belief);
    }
  }
  return out;
}

double WorldModel::expected_gain(const Belief& belief, double best) {
  if (!(belief.spread > 0.0)) {
    return std::max(best - belief.mean, 0.0) * belief.p_valid;
  }
  const double z = (best - belief.mean) / belief.spread;
  return belief.spread * unit_gain(z) * belief.p_valid;
}

std::size_t WorldModel::observations() const {
  return state_->observations;
}

Json WorldModel::explain() const {
  const State& s = *state_;
  Json out = Json::object();
  out.set("observations", static_cast<std::uint64_t>(s.observations));
  out.set("valid", static_cast<std::uint64_t>(s.seen.size()));
  out.set("ready", s.process.has_value());
  if (!s.process) {
    return out;
  }
  out.set("rows", static_cast<std::uint64_t>(s.process->settled()));
  out.set("centre_log_cost", s.shift);
  out.set("scale", s.scale * std::sqrt(s.amplitude));
  out.set("noise", s.scale * std::sqrt(s.amplitude * s.process->shape().nugget));
  out.set("clipped_above", s.ceiling);
  std::vector<std::size_t> order(s.encoder.groups());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const double la = s.hyper.log_length[a];
    const double lb = s.hyper.log_length[b];
    return la != lb ? la < lb : a < b;
  });
  Json axes = Json::array();
  for (const std::size_t g : order) {
    Json axis = Json::object();
    axis.set("name", s.encoder.group_name(g));
    axis.set("lengthscale", pinned::exp(s.hyper.log_length[g]));
    axes.push(std::move(axis));
  }
  out.set("axes", std::move(axes));  // most relevant first
  return out;
}

}  // namespace coppice::planner
