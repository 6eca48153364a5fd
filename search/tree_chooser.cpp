// Strategy "coppice": from the current node to the next point.
#include "search/tree_chooser.h"

#include "core/check.h"
#include "core/space_walk.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {
namespace {

// Random points, spread out, before the model is trusted.
constexpr int kDesign = 8;
constexpr int kMostDesign = 16;
constexpr std::size_t kDesignDraws = 16;
// Share of choices that the bandit makes among mutators instead of the model among points.
constexpr double kBanditShare = 0.12;
// A repair goes first when it promises this share of the best value.
constexpr double kRepairShare = 0.5;
constexpr Breadth kBreadth{16, 64, 32, 64, 24};
// With a model, jumps come from its standing pools.
constexpr Breadth kModelledBreadth{0, 200, 32, 64, 24};
constexpr std::size_t kJumps = 16;

double axis_distance(const Axis& axis, std::uint16_t a, std::uint16_t b) {
  if (a == b) {
    return 0.0;
  }
  if (axis.type == AxisType::categorical || axis.type == AxisType::boolean) {
    return 1.0;
  }
  const double levels = static_cast<double>(axis.levels.size() - 1);
  return (a > b ? a - b : b - a) / levels;
}

}  // namespace

TreeChooser::TreeChooser(Shared& shared, Executor& executor)
    : shared_(shared), scout_(shared, executor), frontier_(shared.domain.space()) {
  frontier_.mark_infeasible();
}

std::uint32_t TreeChooser::template_of(NodeId node) const {
  return *shared_.domain.find_template(shared_.tree.at(node).template_name);
}

bool TreeChooser::structured(std::uint32_t t) const {
  return shared_.options.tree && !shared_.domain.structural(t).empty();
}

bool TreeChooser::chooses_structure(NodeId node) const {
  return shared_.tree.at(node).kind == NodeKind::template_root && structured(template_of(node));
}

std::optional<Choice> TreeChooser::next(std::vector<Event>& out) {
  tell_pending();
  if (auto choice = next_default(out)) {
    return choice;
  }
  if (auto choice = next_design(out)) {
    return choice;
  }
  while (const auto node = current(out)) {
    if (auto choice = choose_in(*node, out)) {
      return choice;
    }
    const bool structure = chooses_structure(*node);
    Update update;
    update.node = *node;
    update.state = structure ? NodeState::active : NodeState::closed;
    update.reason =
        structure ? "every structural choice is open below it" : "every point under it was tried";
    shared_.edit(std::move(update), out);
    scout_.forget(*node);
    current_.reset();
  }
  return std::nullopt;
}

void TreeChooser::tell_pending() {
  if (!shared_.options.world_model || shared_.options.lanes <= 1) {
    return;
  }
  std::vector<Point> pending;
  for (const auto& [id, attempt] : shared_.book.in_flight) {
    if (attempt.point) {
      pending.push_back(*attempt.point);
    }
  }
  scout_.model().set_pending(pending);
}

std::optional<Choice> TreeChooser::next_default(std::vector<Event>& out) {
  while (next_default_ < shared_.domain.space().size()) {
    const std::uint32_t t = next_default_++;
    if (!shared_.domain.hopeless(t).empty()) {
      continue;
    }
    const AxisSpace& space = shared_.domain.axes(t);
    Rng rng = shared_.draw_stream("seed");
    auto genome = repair(space, space.default_genome(), {}, rng);
    if (!genome || !shared_.is_new(t, *genome)) {
      continue;
    }
    Option option;
    option.genome = std::move(*genome);
    option.mutator = scout_.mutator("seed");
    return make_choice(shared_.template_nodes[t], option, false, out);
  }
  return std::nullopt;
}

// A few random points in every template in turn, each the farthest from those known among some.
std::optional<Choice> TreeChooser::next_design(std::vector<Event>& out) {
  const auto templates = static_cast<std::uint32_t>(shared_.domain.space().size());
  int wanted = std::min(kDesign + 2 * static_cast<int>(templates - 1), kMostDesign);
  if (shared_.options.budget.attempts > 0) {
    const std::int64_t quarter = shared_.options.budget.attempts / 4;
    wanted = quarter < wanted ? static_cast<int>(quarter) : wanted;
  }
  while (designed_ < wanted) {
    const std::uint32_t t = static_cast<std::uint32_t>(designed_) % templates;
    ++designed_;
    const NodeId root = shared_.template_nodes[t];
    if (shared_.tree.at(root).state == NodeState::pruned) {
      continue;
    }
    Rng rng = shared_.draw_stream("design");
    double farthest = -1.0;
    Option option;
    for (Genome& genome : scout_.sample(root, kDesignDraws, rng)) {
      double nearest = 1e9;
      for (std::uint64_t id = 1; id <= shared_.book.candidates(); ++id) {
        const auto& known = shared_.book.at({id}).point;
        if (!known || known->template_index != t) {
          continue;
        }
        double distance = 0.0;
        for (std::size_t i = 0; i < genome.levels.size(); ++i) {
          distance += axis_distance(
              shared_.domain.axes(t).axis(i), genome.levels[i], known->genome.levels[i]);
        }
        nearest = std::min(nearest, distance);
      }
      if (nearest > farthest) {
        farthest = nearest;
        option.genome = std::move(genome);
      }
    }
    if (farthest >= 0.0) {
      option.mutator = scout_.mutator("jump");
      return make_choice(root, option, false, out);
    }
  }
  return std::nullopt;
}

std::optional<Choice> TreeChooser::choose_in(NodeId node, std::vector<Event>& out) {
  const bool structure = chooses_structure(node);
  const bool scored = scout_.ready();
  std::vector<Option> options =
      scout_.options(node, scored ? kModelledBreadth : kBreadth, structure, "options");
  if (structure) {
    drop_opened(template_of(node), options);
  }
  if (scored) {
    scout_.score(template_of(node), options);
    if (!structure) {
      scout_.add_jumps(node, kJumps, options);
    }
  }
  if (options.empty()) {
    return std::nullopt;
  }
  const std::size_t best = pick(node, options);
  Choice choice = make_choice(node, options[best], scored, out);
  scout_.drop_repair(node);
  return choice;
}

std::size_t TreeChooser::pick(NodeId node, const std::vector<Option>& options) {
  Rng rng = shared_.draw_stream("pick");
  if (!scout_.ready()) {
    return pick_unmodelled(node, options, rng);
  }
  std::size_t best = 0;
  std::optional<std::size_t> best_repair;
  const std::size_t repair = scout_.mutator("repair");
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (options[i].value > options[best].value) {
      best = i;
    }
    if (options[i].mutator == repair &&
        (!best_repair || options[i].value > options[*best_repair].value)) {
      best_repair = i;
    }
  }
  mind(node).expected = options[best].value;
  if (best_repair && options[*best_repair].value >= kRepairShare * options[best].value) {
    return *best_repair;
  }
  if (rng.uniform() < kBanditShare) {
    return pick_by_ledger(options, rng);
  }
  return best;
}

// The bandit chooses a mutator, the model the best of its points.
std::size_t TreeChooser::pick_by_ledger(const std::vector<Option>& options, Rng& rng) const {
  std::map<std::size_t, std::size_t> best;  // of each mutator
  for (std::size_t i = 0; i < options.size(); ++i) {
    const auto [it, fresh] = best.try_emplace(options[i].mutator, i);
    if (!fresh && options[i].value > options[it->second].value) {
      it->second = i;
    }
  }
  std::vector<std::size_t> offered;
  for (const auto& [mutator, option] : best) {
    offered.push_back(mutator);
  }
  return best.at(shared_.ledger.choose(offered, rng));
}

// Without a model: a repair first, else the bandit's mutator and one of its points at random.
std::size_t TreeChooser::pick_unmodelled(NodeId node,
                                         const std::vector<Option>& options,
                                         Rng& rng) {
  const std::size_t repair = scout_.mutator("repair");
  std::vector<std::size_t> offered;
  for (const Option& option : options) {
    if (offered.empty() || offered.back() != option.mutator) {
      offered.push_back(option.mutator);
    }
  }
  const bool repairs = scout_.repair_wanted(node) &&
                       std::find(offered.begin(), offered.end(), repair) != offered.end();
  const std::size_t mutator = repairs ? repair : shared_.ledger.choose(offered, rng);
  std::vector<std::size_t> of_it;
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (options[i].mutator == mutator) {
      of_it.push_back(i);
    }
  }
  return of_it[rng.below(of_it.size())];
}

Choice TreeChooser::make_choice(NodeId node,
                                const Option& option,
                                bool scored,
                                std::vector<Event>& out) {
  Choice choice;
  choice.point = {template_of(node), option.genome};
  choice.mutator = std::string(scout_.table()[option.mutator]->name());
  choice.parents = option.parents;
  choice.why = scout_.explain(node, option);
  choice.node = node;
  if (chooses_structure(node)) {
    choice.node = leaf_for(choice.point, scored ? option.value : 1.0, out);
    if (current_ == node && choice.node != node) {
      // The next attempts belong to the new child.
      enter(
          choice.node, "a structural choice opened under node " + std::to_string(node.value), out);
    }
  }
  if (scored) {
    choice.prediction = Prediction{option.belief.mean,
                                   option.belief.spread,
                                   option.belief.p_valid,
                                   option.gain,
                                   option.belief.seconds};
  }
  return choice;
}

void TreeChooser::learn(const Attempt& attempt, const Lesson& lesson, std::vector<Event>&) {
  scout_.learn(attempt, lesson);
  const NodeId node = attempt.proposed.node;
  const bool improved_node =
      lesson.valid &&
      (!shared_.tree.at(node).best || lesson.log_cost < shared_.tree.at(node).best_log_cost);
  shared_.tree.record(node, {lesson.candidate, lesson.valid, lesson.log_cost});
  shared_.ledger.record(attempt.proposed.mutator,
                        lesson.valid,
                        lesson.gain,
                        lesson.seconds > 0.0 ? lesson.seconds : 1.0);
  if (!attempt.point) {
    return;
  }
  planner::Observation observation;
  observation.point = *attempt.point;
  observation.valid = lesson.valid;
  observation.log_cost = lesson.log_cost;
  observation.gate = lesson.gate;
  observation.failure = lesson.failure;
  observation.seconds = lesson.seconds;
  frontier_.observe(observation);
  Mind& thoughts = mind(node);
  if (improved_node) {
    thoughts.leaves = 0;
  }
  thoughts.failures_in_a_row = lesson.valid ? 0 : thoughts.failures_in_a_row + 1;
  if (lesson.valid) {
    return;
  }
  thoughts.last_failure = to_text(lesson.failure);
  // One repair for each failure, two in a chain: then the idea itself is at fault.
  if (lesson.failure != FailureClass::too_slow && thoughts.failures_in_a_row <= 2) {
    scout_.want_repair(node, {lesson.candidate, attempt.point->genome, thoughts.last_failure});
  }
}

std::vector<CandidateId> TreeChooser::elites() const {
  std::vector<CandidateId> out;
  for (const Elite& elite : scout_.elites().all()) {
    out.push_back(elite.candidate);
  }
  return out;
}

std::vector<planner::LevelRecord> TreeChooser::frontier() {
  return frontier_.levels();
}

std::unique_ptr<Chooser> make_tree_chooser(Shared& shared, Executor& executor) {
  return std::make_unique<TreeChooser>(shared, executor);
}

}  // namespace coppice::search
