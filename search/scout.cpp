// Gathers and scores options.
#include "search/scout.h"

#include "core/space_walk.h"
#include "mutators/table.h"

#include <algorithm>
#include <set>

namespace coppice::search {
namespace {

constexpr std::size_t kElitesPerNiche = 8;
constexpr std::size_t kNiches = 64;
constexpr std::size_t kParents = 8;
constexpr std::size_t kNeighbourLists = 64;
// A class other than the headline counts for less: it has its own best, but not the run's.
constexpr double kOtherClassWeight = 0.25;

std::size_t breadth_of(std::string_view mutator, const Breadth& breadth) {
  if (mutator == "seed") {
    return 1;
  }
  if (mutator == "jump") {
    return breadth.jumps;
  }
  if (mutator == "crossover") {
    return breadth.crossovers;
  }
  if (mutator == "structural_switch") {
    return breadth.switches;
  }
  if (mutator == "repair") {
    return breadth.repairs;
  }
  return breadth.steps;
}

}  // namespace

Scout::Scout(Shared& shared, Executor& executor)
    : shared_(shared),
      table_(mutators::rule_mutators()),
      model_(shared.domain.space(), shared.seed, executor),
      elites_(kElitesPerNiche, kNiches) {}

std::size_t Scout::mutator(std::string_view name) const {
  std::size_t i = 0;
  while (table_[i]->name() != name) {
    ++i;
  }
  return i;
}

void Scout::learn(const Attempt& attempt, const Lesson& lesson) {
  if (!attempt.point) {
    return;
  }
  if (lesson.valid && shared_.options.evolution) {
    Signature niche = shared_.domain.signature(*attempt.point);
    niche.push_back(static_cast<std::uint32_t>(lesson.precision));
    elites_.offer(niche, {lesson.candidate, *attempt.point, lesson.log_cost});
  }
  if (!shared_.options.world_model) {
    return;
  }
  planner::Observation observation;
  observation.point = *attempt.point;
  observation.valid = lesson.valid || lesson.partial_log_cost.has_value();
  observation.log_cost = lesson.partial_log_cost.value_or(lesson.log_cost);
  observation.log_noise = lesson.log_noise;
  observation.gate = lesson.gate;
  observation.failure = lesson.failure;
  observation.seconds = lesson.seconds;
  model_.observe(observation);
}

bool Scout::ready() const {
  return shared_.options.world_model && model_.ready();
}

Subspace& Scout::subspace(NodeId node) {
  const auto found = subspaces_.find(node);
  if (found != subspaces_.end()) {
    return found->second;
  }
  const Node& at = shared_.tree.at(node);
  const std::uint32_t t = *shared_.domain.find_template(at.template_name);
  return subspaces_.emplace(node, Subspace(shared_.domain, t, *shared_.domain.pins(t, at.fixed)))
      .first->second;
}

const std::vector<Genome>& Scout::neighbours_of(std::uint32_t t, const Genome& genome) {
  const Point point{t, genome};
  const auto found = neighbours_.find(point);
  if (found != neighbours_.end()) {
    return found->second;
  }
  if (neighbours_age_.size() == kNeighbourLists) {
    neighbours_.erase(neighbours_age_.front());
    neighbours_age_.pop_front();
  }
  neighbours_age_.push_back(point);
  return neighbours_.emplace(point, neighbours(shared_.domain.axes(t), genome, false))
      .first->second;
}

mutators::Scene Scout::scene(NodeId node) {
  Subspace& space = subspace(node);
  const std::uint32_t t = space.template_index();
  mutators::Scene scene;
  scene.space = &shared_.domain.axes(t);
  scene.pins = space.pins();
  const auto best = shared_.tree.at(node).best;
  if (best && shared_.book.at(*best).point) {
    const CandidateRecord& record = shared_.book.at(*best);
    scene.incumbent = mutators::Parent{*best, record.point->genome, record.log_cost};
  }
  for (const Elite& elite : elites_.parents(t, kParents)) {
    scene.elites.push_back({elite.candidate, elite.point.genome, elite.log_cost});
  }
  const auto failed = failed_.find(node);
  if (failed != failed_.end()) {
    scene.failed = failed->second;
  }
  scene.neighbours = [this, t](const Genome& genome) -> const std::vector<Genome>& {
    return neighbours_of(t, genome);
  };
  scene.is_new = [this, t, &space](const Genome& genome) {
    return mutators::holds_pins(space.pins(), genome) && shared_.is_new(t, genome);
  };
  scene.draw = [this, t, &space](Rng& rng) {
    return space.draw(
        shared_.domain, [this, t](const Genome& g) { return !shared_.is_new(t, g); }, rng);
  };
  return scene;
}

std::vector<Option> Scout::options(NodeId node,
                                   const Breadth& breadth,
                                   bool switches_only,
                                   std::string_view purpose) {
  mutators::Scene view = scene(node);
  std::vector<Option> out;
  std::set<Genome> seen;
  for (std::size_t m = 0; m < table_.size(); ++m) {
    const std::string_view name = table_[m]->name();
    view.limit = breadth_of(name, breadth);
    if (view.limit == 0 || (name == "structural_switch") != switches_only) {
      continue;
    }
    Rng rng = shared_.draw_stream(std::string(purpose) + "/" + std::string(name));
    for (mutators::Idea& idea : table_[m]->propose(view, rng)) {
      if (seen.insert(idea.genome).second) {
        Option option;
        option.genome = std::move(idea.genome);
        option.mutator = m;
        option.parents = std::move(idea.parents);
        out.push_back(std::move(option));
      }
    }
  }
  return out;
}

std::vector<Genome> Scout::sample(NodeId node, std::size_t limit, Rng& rng) {
  Subspace& space = subspace(node);
  const std::uint32_t t = space.template_index();
  return space.sample(
      shared_.domain, [this, t](const Genome& g) { return !shared_.is_new(t, g); }, limit, rng);
}

std::optional<double> Scout::bar(std::size_t precision) const {
  const auto own = shared_.book.best_log_cost(precision);
  return own ? own : shared_.book.best_log_cost(0);
}

// What a gain in this class is worth, per unit of budget.
double Scout::weight(std::size_t precision, const planner::Belief& belief) const {
  const double value = precision == 0 ? 1.0 : kOtherClassWeight;
  // A budget in seconds is spent by the second, one in attempts by the attempt.
  const bool by_the_second = shared_.options.budget.seconds.count() > 0 && belief.seconds > 0.0;
  return by_the_second ? value / belief.seconds : value;
}

void Scout::score(std::uint32_t t, std::vector<Option>& options) {
  std::vector<Point> points;
  points.reserve(options.size());
  for (const Option& option : options) {
    points.push_back({t, option.genome});
  }
  const std::vector<planner::Belief> beliefs = model_.predict(points);
  for (std::size_t i = 0; i < options.size(); ++i) {
    Option& option = options[i];
    option.belief = beliefs[i];
    const std::size_t precision = shared_.domain.class_of(points[i]).value_or(0);
    const auto best = bar(precision);
    option.gain = best ? planner::WorldModel::expected_gain(beliefs[i], *best) : beliefs[i].p_valid;
    option.value = option.gain * weight(precision, beliefs[i]);
  }
}

std::string Scout::explain(NodeId node, const Option& option) {
  return table_[option.mutator]->explain(scene(node), {option.genome, option.parents});
}

void Scout::forget(NodeId node) {
  subspaces_.erase(node);
  pools_.erase(node);
  failed_.erase(node);
}

void Scout::want_repair(NodeId node, mutators::Failed failed) {
  failed_.insert_or_assign(node, std::move(failed));
}

}  // namespace coppice::search
