// Gathers and scores options.
#include "search/scout.h"

#include "mutators/table.h"

#include <algorithm>
#include <cstdlib>
#include <set>

namespace coppice::search {
namespace {

constexpr std::size_t kElitesPerNiche = 8;
constexpr std::size_t kNiches = 64;
constexpr std::size_t kParents = 8;
constexpr std::size_t kAround = 3;  // elites of a template whose neighbours are looked at
constexpr std::size_t kNeighbourLists = 64;

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

planner::WorldModel fresh_model(const Shared& shared, Executor& executor) {
  return planner::WorldModel(
      shared.domain.space(),
      shared.seed,
      executor,
      {},
      shared.options.world_model ? shared.warm : std::vector<planner::WarmSource>());
}

}  // namespace

Scout::Scout(Shared& shared, Executor& executor)
    : shared_(shared),
      executor_(executor),
      table_(mutators::rule_mutators()),
      model_(fresh_model(shared, executor)),
      outlook_(shared, model_),
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
  if (shared_.options.llm.on) {
    seen_.push_back(std::move(observation));
  }
}

void Scout::grow() {
  model_ = fresh_model(shared_, executor_);
  for (const planner::Observation& observation : seen_) {
    model_.observe(observation);
  }
  outlook_.forget();
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
  return neighbours_.emplace(point, shared_.domain.walker(t).neighbours(genome, false))
      .first->second;
}

mutators::Scene Scout::scene(NodeId node) {
  Subspace& space = subspace(node);
  const std::uint32_t t = space.template_index();
  mutators::Scene scene;
  scene.space = &shared_.domain.axes(t);
  scene.walker = &shared_.domain.walker(t);
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

void Scout::score(std::uint32_t t, std::vector<Option>& options) {
  std::vector<Point> points;
  points.reserve(options.size());
  for (const Option& option : options) {
    points.push_back({t, option.genome});
  }
  const std::vector<Prospect> prospects = outlook_.judge(points);
  for (std::size_t i = 0; i < options.size(); ++i) {
    options[i].belief = prospects[i].belief;
    options[i].gain = prospects[i].gain;
    options[i].value = prospects[i].value;
  }
}

Option Scout::attribute(NodeId node, const Point& point) {
  const std::uint32_t t = point.template_index;
  Option option;
  option.genome = point.genome;
  option.mutator = mutator("jump");
  const std::vector<Elite> elites = elites_.parents(t, kParents);
  for (const Elite& elite : elites) {
    std::size_t changed = 0;
    std::size_t steps = 0;
    for (std::size_t i = 0; i < point.genome.levels.size(); ++i) {
      const int step = std::abs(int{point.genome.levels[i]} - int{elite.point.genome.levels[i]});
      changed += step != 0 ? 1 : 0;
      steps += static_cast<std::size_t>(step);
    }
    const auto best = shared_.tree.at(node).best;
    if (changed == 1 && (steps == 1 || best == elite.candidate)) {
      option.mutator = mutator(steps == 1 ? "axis_step" : "local_exhaustive");
      option.parents = {elite.candidate};
      return option;
    }
  }
  return option;
}

std::vector<Point> Scout::around_elites() {
  std::vector<Point> out;
  for (std::uint32_t t = 0; t < shared_.domain.space().size(); ++t) {
    const std::vector<Elite> elites = elites_.parents(t, kAround);
    for (const Elite& elite : elites) {
      for (const Genome& genome : neighbours_of(t, elite.point.genome)) {
        if (shared_.is_new(t, genome)) {
          out.push_back({t, genome});
        }
      }
    }
  }
  return out;
}

std::string Scout::explain(NodeId node, const Option& option) {
  return table_[option.mutator]->explain(scene(node), {option.genome, option.parents});
}

void Scout::forget(NodeId node) {
  subspaces_.erase(node);
  failed_.erase(node);
}

void Scout::rest() {
  model_.rest();
  outlook_.rest();
  neighbours_.clear();
  neighbours_age_.clear();
}

void Scout::want_repair(NodeId node, mutators::Failed failed) {
  failed_.insert_or_assign(node, std::move(failed));
}

}  // namespace coppice::search
