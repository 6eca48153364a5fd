// Strategy "coppice": from the current node to the next point.
#include "search/tree_chooser.h"

#include "core/check.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {
namespace {

// Random points before the model is trusted.
constexpr int kDesign = 5;
constexpr int kDesignPerTemplate = 2;  // for each further template
constexpr int kMostDesign = 16;
constexpr int kWarmDesign = 1;            // random points while a warm start is believed
constexpr std::uint64_t kWarmPeriod = 3;  // of the first points, one in so many is not its choice
constexpr Breadth kBreadth{16, 64, 32, 64, 24};

}  // namespace

TreeChooser::TreeChooser(Shared& shared, Executor& executor)
    : shared_(shared),
      scout_(shared, executor),
      frontier_(shared.domain.space()),
      planted_(static_cast<std::uint32_t>(shared.domain.space().size())) {
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
  if (auto choice = next_warm(out)) {
    return choice;
  }
  if (auto choice = next_default(out)) {
    return choice;
  }
  if (auto choice = next_design(out)) {
    return choice;
  }
  if (scout_.ready()) {
    if (auto choice = next_modelled(out)) {
      return choice;
    }
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

// While the logs of others are believed, two of three points are what they promise; what is known
// to nobody, the defaults and a random point, shows whether they are right.
std::optional<Choice> TreeChooser::next_warm(std::vector<Event>& out) {
  const bool own_turn = shared_.book.candidates() % kWarmPeriod == kWarmPeriod - 1;
  const bool owed = next_default_ < planted_ || designed_ < kWarmDesign;
  if (!scout_.ready() || !scout_.model().warm() || !owed || own_turn) {
    return std::nullopt;
  }
  return next_modelled(out);
}

std::optional<Choice> TreeChooser::next_default(std::vector<Event>& out) {
  while (next_default_ < planted_) {
    const std::uint32_t t = next_default_++;
    if (!shared_.domain.hopeless(t).empty()) {
      continue;
    }
    Rng rng = shared_.draw_stream("seed");
    auto genome = shared_.domain.walker(t).repair(shared_.domain.axes(t).default_genome(), {}, rng);
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

// A few random points in every template in turn.
std::optional<Choice> TreeChooser::next_design(std::vector<Event>& out) {
  const std::uint32_t templates = planted_;
  int wanted =
      std::min(kDesign + kDesignPerTemplate * static_cast<int>(templates - 1), kMostDesign);
  if (shared_.options.budget.attempts > 0) {
    const std::int64_t quarter = shared_.options.budget.attempts / 4;
    wanted = quarter < wanted ? static_cast<int>(quarter) : wanted;
  }
  if (scout_.model().warm()) {
    wanted = std::min(wanted, kWarmDesign);
  }
  while (designed_ < wanted) {
    const std::uint32_t t = static_cast<std::uint32_t>(designed_) % templates;
    ++designed_;
    const NodeId root = shared_.template_nodes[t];
    if (shared_.tree.at(root).state == NodeState::pruned) {
      continue;
    }
    Rng rng = shared_.draw_stream("design");
    std::vector<Genome> drawn = scout_.sample(root, 1, rng);
    if (!drawn.empty()) {
      Option option;
      option.genome = std::move(drawn.front());
      option.mutator = scout_.mutator("jump");
      return make_choice(root, option, false, out);
    }
  }
  return std::nullopt;
}

// Without a model: from the node that is worked on.
std::optional<Choice> TreeChooser::choose_in(NodeId node, std::vector<Event>& out) {
  const bool structure = chooses_structure(node);
  std::vector<Option> options = scout_.options(node, kBreadth, structure, "options");
  if (structure) {
    drop_opened(template_of(node), options);
  }
  if (options.empty()) {
    return std::nullopt;
  }
  Rng rng = shared_.draw_stream("pick");
  const std::size_t best = pick_unmodelled(node, options, rng);
  Choice choice = make_choice(node, options[best], false, out);
  scout_.drop_repair(node);
  return choice;
}

// A repair first, else the bandit's mutator and one of its points at random.
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
  choice.why = option.why.empty() ? scout_.explain(node, option) : option.why;
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
                                   option.belief.spread * calibration_.factor(),
                                   option.belief.p_valid,
                                   option.gain,
                                   option.belief.seconds};
  }
  return choice;
}

namespace {

planner::Observation observation_of(const Point& point, const Lesson& lesson) {
  planner::Observation observation;
  observation.point = point;
  observation.valid = lesson.valid;
  observation.log_cost = lesson.log_cost;
  observation.gate = lesson.gate;
  observation.failure = lesson.failure;
  observation.seconds = lesson.seconds;
  return observation;
}

}  // namespace

void TreeChooser::observe(const planner::Observation& observation) {
  frontier_.observe(observation);
  if (shared_.options.llm.on) {
    seen_.push_back(observation);
  }
}

bool TreeChooser::grow(const Attempt& first, const Lesson& lesson) {
  scout_.grow();
  scout_.learn(first, lesson);
  frontier_ = planner::Frontier(shared_.domain.space());
  frontier_.mark_infeasible();
  for (const planner::Observation& observation : seen_) {
    frontier_.observe(observation);
  }
  observe(observation_of(*first.point, lesson));
  return true;
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
  if (lesson.valid && attempt.proposed.prediction) {
    calibration_.take(lesson.log_cost, *attempt.proposed.prediction);
  }
  observe(observation_of(*attempt.point, lesson));
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
    failed_node_ = node;
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
