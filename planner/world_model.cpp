// WorldModel: keeps observations, and holds posteriors of known points.
#include "planner/world_model.h"

#include "core/check.h"
#include "core/pinned_math.h"
#include "planner/world_model_state.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coppice::planner {

namespace {

constexpr double kUnknown = 1.0;  // spread of a log cost before anything is known

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

// unit_gain() at the next of these steps above z: it grows with z.
class GainSteps {
 public:
  GainSteps() {
    for (int i = 0; i <= kCount; ++i) {
      at_.push_back(unit_gain(kFrom + i * kStep));
    }
  }
  double above(double z) const {
    if (z < kFrom) {
      return 0.0;
    }
    const double place = (z - kFrom) * kPerStep;
    return place < kCount ? at_[static_cast<std::size_t>(place) + 1] : z + at_.front() + kRest;
  }

 private:
  static constexpr double kFrom = -8.0;  // below, expected_gain() gives 0
  static constexpr double kStep = 0.0625, kPerStep = 16.0;
  static constexpr int kCount = 192;     // up to z = 4
  static constexpr double kRest = 1e-5;  // of unit_gain(4) above 4
  std::vector<double> at_;
};

}  // namespace

void WorldModel::State::append(const Seen& one) {
  const std::size_t width = encoder.width();
  process->append(
      {seen_x.data() + one.slot * width, width}, extra_noise(one.log_noise), target(one));
}

void WorldModel::State::append_pending() {
  for (const Point& point : pending) {
    process->append(encode(point), 0.0, std::nullopt);
  }
}

void WorldModel::State::forget_answers() const {
  table.clear();
  blocks = std::vector<Block>();  // = {} would keep the room
  ++generation;
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
  const std::size_t first = table.size() + fresh > kMostSlots ? 0 : table.size();
  if (table.size() + fresh > kMostSlots) {
    forget_answers();
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
      blocks.emplace_back(encoder.width(), sources());
    }
    Block& block = blocks[slots[i] / kBlock];
    block.posterior.set(slots[i] % kBlock, encode(points[i]));
    block.posterior.reset();
    block.votes = VoteBlock();
  }
  ask_sources(first);
  return slots;
}

// Notes what the sources of the warm start say of the points from this slot on.
void WorldModel::State::ask_sources(std::size_t first) const {
  if (!warm || first == table.size()) {
    return;
  }
  std::vector<Point> fresh;
  for (std::size_t slot = first; slot < table.size(); ++slot) {
    fresh.push_back(table.point(static_cast<std::uint32_t>(slot)));
  }
  const std::vector<Hearsay> said = warm->ask(fresh);
  for (std::size_t i = 0; i < said.size(); ++i) {
    const std::size_t slot = first + i / sources();
    const std::size_t at = slot % kBlock * sources() + i % sources();
    blocks[slot / kBlock].slow[at] = said[i].slow;
    blocks[slot / kBlock].fails[at] = said[i].fails;
  }
}

void WorldModel::State::update(std::span<const std::uint32_t> slots) const {
  std::vector<bool> asked(blocks.size(), false);
  for (const std::uint32_t slot : slots) {
    asked[slot / kBlock] = true;
  }
  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (asked[i]) {
      wanted.push_back(i);
    }
  }
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
                       std::uint64_t,
                       Executor& executor,
                       const ModelTuning& tuning,
                       std::vector<WarmSource> warm)
    : state_(new State(space, executor, tuning)) {
  state_->set_warm(std::move(warm), space);
}
WorldModel::WorldModel(WorldModel&&) noexcept = default;
WorldModel& WorldModel::operator=(WorldModel&&) noexcept = default;
WorldModel::~WorldModel() = default;

void WorldModel::observe(const Observation& observation) {
  State& s = *state_;
  const std::vector<double> x = s.encode(observation.point);
  ++s.observations;
  s.votes.add(x, observation.valid, observation.seconds);
  s.rates.add(observation.point, observation.valid);
  if (s.votes.size() > 2 * State::kMostVotes) {
    s.votes.forget(State::kMostVotes);
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
    s.hear(observation);
    if (s.seen.size() >= s.next_fit) {
      s.refit();
      return;
    }
  } else {
    s.hear(observation);
  }
  if (!s.process) {
    return;
  }
  s.wake();
  const Seen* one = observation.valid ? &s.seen.back() : nullptr;
  if (one != nullptr && first_waiting &&
      s.extra_noise(one->log_noise) < 0.5 * s.process->shape().nugget) {
    s.process->settle_next(s.target(*one));
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
  s.wake();
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

std::vector<Belief> WorldModel::predict(std::span<const Point> points, KnownPoints* known) const {
  const State& s = *state_;
  s.wake();
  std::vector<Belief> out;
  out.reserve(points.size());
  for (std::size_t start = 0; start < points.size(); start += State::kMostSlots) {
    const auto part = points.subspan(start, std::min(State::kMostSlots, points.size() - start));
    KnownPoints fresh;
    KnownPoints& found = known != nullptr && part.size() == points.size() ? *known : fresh;
    if (found.generation != s.generation || found.slots.size() != part.size()) {
      found.slots = s.slots_of(part);
      found.generation = s.generation;
    }
    const std::vector<std::uint32_t>& slots = found.slots;
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
      const std::size_t place = lane * s.sources();
      if (s.warmed()) {
        belief.mean += s.trust.expect({block.slow.data() + place, s.sources()});
      }
      const bool vote = doubt || s.votes.knows_seconds();
      if (doubt) {
        belief.p_valid = block.votes.p_valid(lane, s.rates.p_valid(s.table.point(slot)));
      }
      if (s.warmed()) {
        belief.p_valid *= s.warm_p_valid({block.fails.data() + place, s.sources()});
      }
      belief.seconds = vote ? block.votes.seconds(lane, s.votes) : 0.0;
      out.push_back(belief);
    }
  }
  return out;
}

bool WorldModel::warm() const {
  return state_->warmed();
}

std::vector<Point> WorldModel::favourites(std::size_t limit) const {
  return state_->warm ? state_->warm->favourites(limit) : std::vector<Point>();
}

void WorldModel::rest() {
  state_->forget_answers();
  if (state_->process) {
    state_->process->rest();
  }
}

std::size_t WorldModel::kept_bytes() const {
  std::size_t bytes = state_->process ? state_->process->bytes() : 0;
  for (const State::Block& block : state_->blocks) {
    bytes += sizeof(State::Block) + block.posterior.bytes();
  }
  return bytes;
}

double WorldModel::expected_gain(const Belief& belief, double best) {
  if (!(belief.spread > 0.0)) {
    return std::max(best - belief.mean, 0.0) * belief.p_valid;
  }
  const double z = (best - belief.mean) / belief.spread;
  return belief.spread * unit_gain(z) * belief.p_valid;
}

double WorldModel::gain_bound(const Belief& belief, double best) {
  static const GainSteps steps;
  if (!(belief.spread > 0.0)) {
    return expected_gain(belief, best);
  }
  return belief.spread * steps.above((best - belief.mean) / belief.spread) * belief.p_valid;
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
  if (s.warm) {
    out.set("warm", s.explain_warm());
  }
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
