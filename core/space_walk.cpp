// SpaceWalker: depth-first walks over look-up tables, with counts of what lies below each state.
#include "core/space_walk.h"

#include "core/space_listed.h"
#include "core/space_rules.h"

#include <algorithm>
#include <limits>
#include <unordered_map>

namespace coppice {

using detail::Choice;
using detail::distance;

namespace {

constexpr std::size_t kMaxStates = 200000;    // of the counting table
constexpr std::size_t kMaxVisits = 1000000;   // while counting
constexpr std::size_t kMaxWalk = 5000000;     // steps of an enumeration without counts
constexpr std::size_t kMaxBacktrack = 50000;  // steps of a sample or repair that meets dead ends
constexpr int kDescents = 8;                  // drawn for one near-uniform sample
constexpr std::uint64_t kMostCount = std::numeric_limits<std::int64_t>::max();

}  // namespace

struct SpaceWalker::State {
  explicit State(const AxisSpace& space_in)
      : space(&space_in), rules(space_in), listed(space_in.listed()), below(space_in.size() + 1) {
    if (listed != nullptr) {
      countable = true;
      total = listed->size();
      return;
    }
    Genome genome = space->default_genome();
    countable = keys_fit();
    if (!rules.satisfiable()) {
      total = 0;
      countable = true;
    } else if (countable) {
      total = count_below(0, genome);
    }
    if (!countable) {
      below.clear();
    }
  }

  std::size_t size() const { return space->size(); }
  std::size_t levels(std::size_t axis) const { return space->axis(axis).levels.size(); }

  bool keys_fit() const {
    for (std::size_t depth = 0; depth <= size(); ++depth) {
      std::uint64_t product = 1;
      for (const std::size_t axis : rules.interface(depth)) {
        if (product > kMostCount / levels(axis)) {
          return false;
        }
        product *= levels(axis);
      }
    }
    return true;
  }

  std::uint64_t key(std::size_t depth, const Genome& genome) const {
    std::uint64_t out = 0;
    for (const std::size_t axis : rules.interface(depth)) {
      out = out * levels(axis) + genome.levels[axis];
    }
    return out;
  }

  // Valid genomes that start with the first `depth` levels; fills the table.
  std::uint64_t count_below(std::size_t depth, Genome& genome) {
    if (depth == size()) {
      return 1;
    }
    const std::uint64_t at = key(depth, genome);
    if (const auto known = below[depth].find(at); known != below[depth].end()) {
      return known->second;
    }
    std::uint64_t sum = 0;
    const std::uint16_t before = genome.levels[depth];
    for (std::size_t level = 0; level < levels(depth) && countable; ++level) {
      genome.levels[depth] = static_cast<std::uint16_t>(level);
      countable = ++visits <= kMaxVisits;
      if (rules.allow(genome, depth + 1)) {
        const std::uint64_t more = count_below(depth + 1, genome);
        countable = countable && sum <= kMostCount - more;
        sum += countable ? more : 0;
      }
    }
    genome.levels[depth] = before;
    countable = countable && ++states <= kMaxStates;
    below[depth].emplace(at, sum);
    return sum;
  }

  // Known to lead nowhere? (False also where nothing is known.)
  bool dead(std::size_t depth, const Genome& genome) const {
    if (!countable || depth == size()) {
      return false;
    }
    const auto known = below[depth].find(key(depth, genome));
    return known != below[depth].end() && known->second == 0;
  }

  bool enter(std::size_t depth, std::size_t level, Genome& genome) const {
    genome.levels[depth] = static_cast<std::uint16_t>(level);
    return rules.allow(genome, depth + 1) && !dead(depth + 1, genome);
  }

  const AxisSpace* space;
  detail::SpaceRules rules;
  const std::vector<Genome>* listed;  // null: the rules say what is valid
  std::vector<std::unordered_map<std::uint64_t, std::uint64_t>> below;  // looked up, never walked
  bool countable = false;
  std::uint64_t total = 0;
  std::size_t states = 0, visits = 0;
};

SpaceWalker::SpaceWalker(const AxisSpace& space) : state_(new State(space)) {}
SpaceWalker::SpaceWalker(SpaceWalker&&) noexcept = default;
SpaceWalker& SpaceWalker::operator=(SpaceWalker&&) noexcept = default;
SpaceWalker::~SpaceWalker() = default;

const AxisSpace& SpaceWalker::space() const {
  return *state_->space;
}

bool SpaceWalker::valid(const Genome& genome) const {
  return state_->listed != nullptr ? state_->space->valid(genome) : state_->rules.valid(genome);
}

std::optional<std::uint64_t> SpaceWalker::count() const {
  return state_->countable ? std::optional(state_->total) : std::nullopt;
}

Genome SpaceWalker::nth(std::uint64_t n) const {
  COPPICE_CHECK(state_->countable && n < state_->total);
  if (state_->listed != nullptr) {
    return (*state_->listed)[n];
  }
  Genome genome = state_->space->default_genome();
  for (std::size_t depth = 0; depth < state_->size(); ++depth) {
    bool found = false;
    for (std::size_t level = 0; level < state_->levels(depth) && !found; ++level) {
      if (!state_->enter(depth, level, genome)) {
        continue;
      }
      const std::uint64_t below =
          depth + 1 == state_->size()
              ? 1
              : state_->below[depth + 1].find(state_->key(depth + 1, genome))->second;
      found = n < below;
      n -= found ? 0 : below;
    }
    COPPICE_CHECK(found);
  }
  return genome;
}

std::optional<std::vector<Genome>> SpaceWalker::enumerate(std::size_t limit) const {
  const State& state = *state_;
  std::vector<Genome> out;
  if ((state.countable && state.total > limit) || !state.rules.satisfiable()) {
    return state.rules.satisfiable() ? std::nullopt : std::optional(out);
  }
  if (state.listed != nullptr) {
    return *state.listed;
  }
  Genome genome = state.space->default_genome();
  std::vector<std::size_t> next(state.size() + 1, 0);
  std::size_t depth = 0;
  std::size_t steps = 0;
  while (true) {
    if (depth == state.size()) {
      if (out.size() == limit) {
        return std::nullopt;
      }
      out.push_back(genome);
    } else if (next[depth] < state.levels(depth)) {
      if (++steps > kMaxWalk) {
        return std::nullopt;
      }
      if (state.enter(depth, next[depth]++, genome)) {
        next[++depth] = 0;
      }
      continue;
    }
    if (depth == 0) {
      return out;
    }
    --depth;
  }
}

namespace {

struct Descent {
  Genome genome;
  double weight = 1.0;  // inverse of the probability of having come here
};

}  // namespace

std::optional<Genome> SpaceWalker::sample(Rng& rng, int tries) const {
  if (state_->countable) {
    return state_->total == 0 ? std::nullopt : std::optional(nth(rng.below(state_->total)));
  }
  return sample_pinned(Genome(), {}, rng, tries);
}

// Where random descents meet dead ends only: one descent that steps back. `options(depth, genome)`:
// the levels that axis `depth` may take.
template <class Options>
static std::optional<Genome> backtrack(Genome genome, const Options& options, Rng& rng) {
  std::vector<std::vector<std::size_t>> open;
  for (std::size_t steps = 0; steps < kMaxBacktrack; ++steps) {
    if (open.size() == genome.levels.size()) {
      return genome;
    }
    open.push_back(options(open.size(), genome));
    rng.shuffle(open.back());
    while (!open.empty() && open.back().empty()) {
      open.pop_back();
      if (!open.empty()) {
        open.back().pop_back();
      }
    }
    if (open.empty()) {
      return std::nullopt;
    }
    genome.levels[open.size() - 1] = static_cast<std::uint16_t>(open.back().back());
  }
  return std::nullopt;
}

std::optional<Genome> SpaceWalker::sample_pinned(const Genome& from,
                                                 std::span<const std::size_t> pinned,
                                                 Rng& rng,
                                                 int tries) const {
  const State& state = *state_;
  const Choice choice(state.size(), &from, pinned);
  if (!state.rules.satisfiable()) {
    return std::nullopt;
  }
  if (state.listed != nullptr) {
    return detail::pick_listed(*state.listed, choice, rng);
  }
  const auto options = [&](std::size_t depth, Genome& genome) {
    std::vector<std::size_t> out;
    for (std::size_t level = 0; level < state.levels(depth); ++level) {
      if (choice.permits(depth, level) && state.enter(depth, level, genome)) {
        out.push_back(level);
      }
    }
    return out;
  };
  // Of a few random descents one is kept, with a probability that makes up for narrow ways.
  std::optional<Descent> kept;
  double sum = 0.0;
  int found = 0;
  for (int i = 0; i < tries && found < kDescents; ++i) {
    Descent descent{state.space->default_genome(), 1.0};
    std::size_t depth = 0;
    for (; depth < state.size(); ++depth) {
      const std::vector<std::size_t> levels = options(depth, descent.genome);
      if (levels.empty()) {
        break;
      }
      descent.weight *= static_cast<double>(levels.size());
      descent.genome.levels[depth] = static_cast<std::uint16_t>(levels[rng.below(levels.size())]);
    }
    if (depth == state.size()) {
      ++found;
      sum += descent.weight;
      if (rng.uniform() * sum < descent.weight) {
        kept = std::move(descent);
      }
    }
  }
  if (kept || tries <= 0) {
    return kept ? std::optional(kept->genome) : std::nullopt;
  }
  return backtrack(state.space->default_genome(), options, rng);
}

std::optional<bool> SpaceWalker::possible(std::size_t axis, std::size_t level) const {
  const State& state = *state_;
  Genome genome = state.space->default_genome();
  if (state.listed != nullptr) {
    return std::any_of(state.listed->begin(), state.listed->end(), [&](const Genome& one) {
      return one.levels[axis] == level;
    });
  }
  std::vector<std::size_t> next(state.size() + 1, 0);
  std::size_t depth = 0;
  for (std::size_t steps = 0; steps < kMaxBacktrack && state.rules.satisfiable(); ++steps) {
    if (depth == state.size()) {
      return true;
    }
    if (next[depth] == state.levels(depth)) {
      if (depth-- == 0) {
        return false;
      }
      continue;
    }
    const std::size_t here = next[depth]++;
    if ((depth != axis || here == level) && state.enter(depth, here, genome)) {
      next[++depth] = 0;
    }
  }
  return state.rules.satisfiable() ? std::nullopt : std::optional(false);
}

std::vector<Genome> SpaceWalker::neighbours(const Genome& genome, bool adjacent_only) const {
  const State& state = *state_;
  std::vector<Genome> out;
  for (std::size_t axis = 0; axis < state.size(); ++axis) {
    const std::size_t here = genome.levels[axis];
    for (std::size_t level = 0; level < state.levels(axis); ++level) {
      const bool near = distance(state.space->axis(axis), here, level) == 1;
      if (level == here || (adjacent_only && !near)) {
        continue;
      }
      Genome moved = genome;
      moved.levels[axis] = static_cast<std::uint16_t>(level);
      moved = state.space->canonical(std::move(moved));
      if (moved != genome && valid(moved) &&
          std::find(out.begin(), out.end(), moved) == out.end()) {
        out.push_back(std::move(moved));
      }
    }
  }
  return out;
}

namespace {

// Depth-first search for the valid genome with at most `changes` changed axes and least steps.
template <class Enter>
class Repair {
 public:
  Repair(const AxisSpace& space, const Genome& from, const Choice& choice, Enter enter, Rng& rng)
      : space_(space), from_(from), choice_(choice), enter_(enter), rng_(rng), genome_(from) {
    for (std::size_t axis = 0; axis < space.size(); ++axis) {
      std::vector<std::size_t>& order = by_distance_.emplace_back();
      for (std::size_t level = 0; level < space.axis(axis).levels.size(); ++level) {
        order.push_back(level);
      }
      const std::size_t here = from.levels[axis];
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        // The level itself comes first, also among equals of a categorical axis.
        return distance(space.axis(axis), a, here) < distance(space.axis(axis), b, here);
      });
    }
  }

  std::optional<Genome> run() {
    for (std::size_t changes = 0; changes <= space_.size() && !exhausted(); ++changes) {
      descend(0, changes, 0);
      if (best_) {
        break;
      }
    }
    return best_;
  }

 private:
  bool exhausted() const { return steps_ > kMaxBacktrack; }

  void descend(std::size_t depth, std::size_t changes, std::size_t moved) {
    if (depth == space_.size()) {
      keep(moved);
      return;
    }
    for (const std::size_t level : by_distance_[depth]) {
      const bool change = level != from_.levels[depth];
      const std::size_t now = moved + distance(space_.axis(depth), level, from_.levels[depth]);
      if (exhausted() || (change && changes == 0) || (best_ && now > best_moved_)) {
        return;
      }
      if (!choice_.permits(depth, level)) {
        continue;
      }
      ++steps_;
      if (enter_(depth, level, genome_)) {
        descend(depth + 1, changes - (change ? 1 : 0), now);
      }
    }
  }

  void keep(std::size_t moved) {
    if (!best_ || moved < best_moved_) {
      ties_ = 0;
    }
    // Each of the equally near ones is as likely as any other.
    if (rng_.below(++ties_) == 0) {
      best_ = genome_;
      best_moved_ = moved;
    }
  }

  const AxisSpace& space_;
  const Genome& from_;
  const Choice& choice_;
  Enter enter_;
  Rng& rng_;
  Genome genome_;
  std::vector<std::vector<std::size_t>> by_distance_;
  std::optional<Genome> best_;
  std::size_t best_moved_ = 0;
  std::uint64_t ties_ = 0;
  std::size_t steps_ = 0;
};

}  // namespace

std::optional<Genome> SpaceWalker::repair(const Genome& genome,
                                          std::span<const std::size_t> pinned,
                                          Rng& rng) const {
  const State& state = *state_;
  COPPICE_CHECK(genome.levels.size() == state.size());
  if (!state.rules.satisfiable()) {
    return std::nullopt;
  }
  const Choice choice(state.size(), &genome, pinned);
  if (state.listed != nullptr) {
    return detail::nearest_listed(*state.space, genome, choice, rng);
  }
  const auto enter = [&](std::size_t depth, std::size_t level, Genome& walking) {
    return state.enter(depth, level, walking);
  };
  if (auto found = Repair(*state.space, genome, choice, enter, rng).run()) {
    return found;
  }
  return sample_pinned(genome, pinned, rng);
}

std::optional<std::vector<Genome>> enumerate(const AxisSpace& space, std::size_t limit) {
  return SpaceWalker(space).enumerate(limit);
}

std::optional<Genome> sample(const AxisSpace& space, Rng& rng, int tries) {
  return SpaceWalker(space).sample(rng, tries);
}

std::vector<Genome> neighbours(const AxisSpace& space, const Genome& genome, bool adjacent_only) {
  return SpaceWalker(space).neighbours(genome, adjacent_only);
}

std::optional<Genome> repair(const AxisSpace& space,
                             const Genome& genome,
                             const std::vector<std::size_t>& pinned,
                             Rng& rng) {
  return SpaceWalker(space).repair(genome, pinned, rng);
}

}  // namespace coppice
