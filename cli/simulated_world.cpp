// The recorded world and the strategies that Coppice is held against in it.
#include "cli/simulated_world.h"

#include "planner/warm_prior.h"
#include "planner/world_model.h"

#include <algorithm>
#include <cmath>

namespace coppice::cli {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// Mean of the recorded runs when it is known to the strategy; smaller is better.
struct Individual {
  Genome genome;
  double cost = kNever;
};

// Numbers of the textbook algorithm (Holland 1975; Goldberg 1989): not tuned on any table.
constexpr std::size_t kPopulation = 20;
constexpr std::size_t kElite = 2;
constexpr std::size_t kTournament = 3;

const Individual& tournament(const std::vector<Individual>& people, Rng& rng) {
  const Individual* best = &people[rng.below(people.size())];
  for (std::size_t i = 1; i < kTournament; ++i) {
    const Individual& other = people[rng.below(people.size())];
    best = other.cost < best->cost ? &other : best;
  }
  return *best;
}

Genome child_of(const SimulatedWorld& world, const Genome& a, const Genome& b, Rng& rng) {
  Genome out = a;
  const double rate = 1.0 / static_cast<double>(std::max<std::size_t>(1, out.levels.size()));
  for (std::size_t i = 0; i < out.levels.size(); ++i) {
    if (rng.below(2) == 1) {
      out.levels[i] = b.levels[i];
    }
    if (rng.uniform() < rate) {
      out.levels[i] = static_cast<std::uint16_t>(rng.below(world.space().axis(i).levels.size()));
    }
  }
  out = world.space().canonical(std::move(out));
  if (world.walker().valid(out)) {
    return out;
  }
  return world.walker().repair(out, {}, rng).value_or(a);
}

}  // namespace

SimulatedWorld::SimulatedWorld(const evaluators::RecordedTable& table, std::int64_t budget)
    : table_(table),
      walker_(table.space().space),
      most_(std::min(static_cast<std::size_t>(budget), table.size())) {}

const evaluators::RecordedOutcome* SimulatedWorld::outcome(const Genome& genome) const {
  return table_.find(genome);
}

double SimulatedWorld::evaluate(const Genome& genome) {
  const auto known = seen_.find(genome.levels);
  if (known != seen_.end()) {
    return known->second;
  }
  const evaluators::RecordedOutcome* found = table_.find(genome);
  const double cost = found != nullptr && found->valid ? found->milliseconds : kNever;
  seen_.emplace(genome.levels, cost);
  best_.push_back(best_.empty() ? cost : std::min(best_.back(), cost));
  return cost;
}

bool SimulatedWorld::known(const Genome& genome) const {
  return seen_.find(genome.levels) != seen_.end();
}

bool SimulatedWorld::done() const {
  return best_.size() >= most_;
}

Genome SimulatedWorld::fresh(Rng& rng) const {
  const std::vector<Genome>& all = *space().listed();
  for (int i = 0; i < 64; ++i) {
    const Genome& genome = all[rng.below(all.size())];
    if (!known(genome)) {
      return genome;
    }
  }
  const std::size_t start = rng.below(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Genome& genome = all[(start + i) % all.size()];
    if (!known(genome)) {
      return genome;
    }
  }
  return all[start];
}

void play_genetic(SimulatedWorld& world, std::uint64_t seed) {
  Rng rng = stream(seed, "simulated_genetic", 0);
  std::vector<Individual> people;
  while (people.size() < kPopulation && !world.done()) {
    const Genome genome = world.fresh(rng);
    people.push_back({genome, world.evaluate(genome)});
  }
  while (!world.done()) {
    std::sort(people.begin(), people.end(), [](const Individual& a, const Individual& b) {
      return a.cost != b.cost ? a.cost < b.cost : a.genome < b.genome;
    });
    std::vector<Individual> next(
        people.begin(), people.begin() + static_cast<long>(std::min(kElite, people.size())));
    while (next.size() < kPopulation && !world.done()) {
      Genome genome =
          child_of(world, tournament(people, rng).genome, tournament(people, rng).genome, rng);
      if (world.known(genome)) {
        genome = world.fresh(rng);  // a converged population looks elsewhere
      }
      const double cost = world.evaluate(genome);
      next.push_back({std::move(genome), cost});
    }
    people = std::move(next);
  }
}

void play_annealing(SimulatedWorld& world, std::uint64_t seed) {
  Rng rng = stream(seed, "simulated_annealing", 0);
  constexpr double kHot = 0.5;     // of the relative time: exp(-delta / T), Kirkpatrick 1983
  constexpr double kCold = 0.005;  // where it restarts
  constexpr double kCooling = 0.97;
  while (!world.done()) {
    Genome at = world.fresh(rng);
    double cost = world.evaluate(at);
    for (double heat = kHot; heat > kCold && !world.done(); heat *= kCooling) {
      const std::vector<Genome> near = world.walker().neighbours(at, false);
      if (near.empty()) {
        break;
      }
      const Genome& next = near[rng.below(near.size())];
      const double other = world.evaluate(next);
      const double worse = std::isfinite(cost) ? (other - cost) / cost : -1.0;
      if (other <= cost || (std::isfinite(other) && rng.uniform() < std::exp(-worse / heat))) {
        at = next;
        cost = other;
      }
    }
  }
}

void play_gp(SimulatedWorld& world, std::uint64_t seed, const TemplateSpace& space) {
  constexpr std::size_t kStart = 10;         // random points before the model is asked
  constexpr std::size_t kMostPoints = 4096;  // of the space, at each step
  Rng rng = stream(seed, "simulated_gp", 0);
  InlineExecutor executor;
  const SearchSpace templates = {space};
  planner::WorldModel model(templates, seed, executor);
  while (!world.done()) {
    Genome genome = world.fresh(rng);
    if (world.best().size() >= kStart && model.ready()) {
      const std::vector<Genome>& all = *world.space().listed();
      std::vector<Point> points;
      for (std::size_t i = 0; i < std::min(all.size(), kMostPoints); ++i) {
        const Genome& one = all.size() <= kMostPoints ? all[i] : all[rng.below(all.size())];
        if (!world.known(one)) {
          points.push_back({0, one});
        }
      }
      const std::vector<planner::Belief> beliefs = model.predict(points);
      const double best = std::isfinite(world.best().back()) ? std::log(world.best().back()) : 1e9;
      double most = -1.0;
      for (std::size_t i = 0; i < points.size(); ++i) {
        const double gain = planner::WorldModel::expected_gain(beliefs[i], best);
        if (gain > most) {
          most = gain;
          genome = points[i].genome;
        }
      }
    }
    planner::Observation observation;
    observation.point = {0, genome};
    const double cost = world.evaluate(genome);
    observation.valid = std::isfinite(cost);
    observation.log_cost = observation.valid ? std::log(cost) : 0.0;
    if (const evaluators::RecordedOutcome* outcome = world.outcome(genome)) {
      observation.gate = outcome->gate;
      observation.failure = outcome->failure;
      observation.log_noise = outcome->log_noise;
    }
    model.observe(observation);
  }
}

void play_log_order(SimulatedWorld& world,
                    const TemplateSpace& space,
                    std::vector<planner::WarmSource> logs) {
  const SearchSpace templates = {space};
  InlineExecutor executor;
  const planner::WarmPrior prior(templates, std::move(logs), executor);
  std::vector<Point> points;
  for (const Genome& genome : *world.space().listed()) {
    points.push_back({0, genome});
  }
  const std::vector<planner::Hearsay> said = prior.ask(points);
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t i = 0; i < points.size(); ++i) {
    double slow = 0.0;
    for (std::size_t s = 0; s < prior.size(); ++s) {
      const planner::Hearsay& one = said[i * prior.size() + s];
      slow += one.slow + (one.fails > 0.5 ? prior.ceiling(s) : 0.0);
    }
    order.emplace_back(slow, i);
  }
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size() && !world.done(); ++i) {
    world.evaluate(points[order[i].second].genome);
  }
}

}  // namespace coppice::cli
