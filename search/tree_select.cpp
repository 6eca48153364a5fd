// Strategy "coppice" with its world model: the most promising of all untried points, and the node
// that it belongs to.
#include "search/tree_chooser.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace coppice::search {
namespace {

// The current node is kept while its best point has this share of the best of all.
constexpr double kStay = 0.7;
// After it stagnated, another node goes first if its best point has this share.
constexpr double kTurnAway = 0.5;
// A repair goes first when it promises this share of the best value.
constexpr double kRepairShareOfBest = 0.7;
// From this candidate on, every so many go to the best neighbour of the best ones: a model that
// errs about them must not hide them.
constexpr std::uint64_t kLocalFrom = 30;
constexpr std::uint64_t kLocalPeriod = 4;
constexpr std::size_t kCentres = 3;
// Every so many of those the mutators' ledger says who offers the point.
constexpr std::uint64_t kLedgerPeriod = 4;
constexpr Breadth kLedgerBreadth{0, 64, 32, 32, 0};
constexpr std::size_t kDeepest = 4096;  // points looked at for one that may be tried
constexpr std::size_t kTold = 64;       // points whose nodes get their priorities told

std::string gain_text(double log_gain) {
  return fmt::format("{:.3g} %", 100.0 * log_gain);
}

}  // namespace

std::optional<Choice> TreeChooser::next_modelled(std::vector<Event>& out) {
  Outlook& outlook = scout_.outlook();
  outlook.refresh(outlook.whole() ? std::vector<Point>() : scout_.around_elites());
  const std::uint64_t turn = shared_.book.candidates();
  if (turn >= kLocalFrom && turn % kLocalPeriod == kLocalPeriod - 1) {
    const bool ledger = turn / kLocalPeriod % kLedgerPeriod == kLedgerPeriod - 1;
    if (auto choice = ledger ? next_by_ledger(out) : std::nullopt) {
      return choice;
    }
    if (auto choice = next_local(out)) {
      return choice;
    }
  }
  if (auto choice = next_repair(out)) {
    return choice;
  }
  do {
    if (auto choice = next_prospect(out)) {
      return choice;
    }
  } while (reopen(out));
  return std::nullopt;
}

std::optional<NodeId> TreeChooser::node_of(const Point& point) const {
  const std::uint32_t t = point.template_index;
  NodeId node = shared_.template_nodes[t];
  if (shared_.tree.at(node).state == NodeState::pruned) {
    return std::nullopt;
  }
  if (structured(t)) {
    for (const std::size_t axis : shared_.domain.structural(t)) {
      const auto child = structure_.find(
          {node, Signature{static_cast<std::uint32_t>(axis), point.genome.levels[axis]}});
      if (child == structure_.end()) {
        return shared_.template_nodes[t];
      }
      node = child->second;
      if (shared_.tree.at(node).state == NodeState::pruned) {
        return std::nullopt;
      }
    }
  }
  for (const NodeId child : shared_.tree.at(node).children) {
    const Node& focus = shared_.tree.at(child);
    const bool takes = focus.state == NodeState::open || focus.state == NodeState::active;
    if (focus.kind != NodeKind::axis_focus || !takes) {
      continue;
    }
    const auto pins = shared_.domain.pins(t, focus.fixed);
    if (pins.ok() && mutators::holds_pins(*pins, point.genome)) {
      return child;
    }
  }
  return node;
}

// The best of the options whose nodes take attempts, as an excursion: the current node stays.
std::optional<Choice> TreeChooser::best_of(std::vector<Option> options,
                                           std::uint32_t t,
                                           std::vector<Event>& out) {
  std::erase_if(options, [&](const Option& option) { return !node_of({t, option.genome}); });
  if (options.empty()) {
    return std::nullopt;
  }
  scout_.score(t, options);
  std::size_t best = 0;
  for (std::size_t i = 1; i < options.size(); ++i) {
    best = options[i].value > options[best].value ? i : best;
  }
  return make_choice(*node_of({t, options[best].genome}), options[best], true, out);
}

std::optional<Choice> TreeChooser::next_local(std::vector<Event>& out) {
  std::vector<CandidateId> centres = shared_.book.leaders(0);
  centres.resize(std::min(centres.size(), kCentres));
  for (const CandidateId centre : centres) {
    const auto& point = shared_.book.at(centre).point;
    if (!point) {
      continue;
    }
    const std::uint32_t t = point->template_index;
    std::vector<Option> options;
    for (const Genome& genome : scout_.neighbours_of(t, point->genome)) {
      if (shared_.is_new(t, genome)) {
        Option option;
        option.genome = genome;
        option.mutator = scout_.mutator("local_exhaustive");
        option.parents = {centre};
        option.why =
            fmt::format("a neighbour of candidate {}: {}",
                        centre.value,
                        mutators::difference(shared_.domain.axes(t), point->genome, genome));
        options.push_back(std::move(option));
      }
    }
    if (auto choice = best_of(std::move(options), t, out)) {
      return choice;
    }
  }
  return std::nullopt;
}

// The ledger chooses a mutator, the model the best of its points.
std::optional<Choice> TreeChooser::next_by_ledger(std::vector<Event>& out) {
  const auto best = shared_.book.best(0);
  if (!best || !shared_.book.at(*best).point) {
    return std::nullopt;
  }
  const std::uint32_t t = shared_.book.at(*best).point->template_index;
  const NodeId root = shared_.template_nodes[t];
  std::vector<Option> options = scout_.options(root, kLedgerBreadth, false, "ledger");
  if (structured(t)) {
    for (Option& option : scout_.options(root, kLedgerBreadth, true, "ledger")) {
      options.push_back(std::move(option));
    }
  }
  std::erase_if(options, [&](const Option& option) { return !node_of({t, option.genome}); });
  std::vector<std::size_t> offered;
  for (const Option& option : options) {
    offered.push_back(option.mutator);
  }
  std::sort(offered.begin(), offered.end());
  offered.erase(std::unique(offered.begin(), offered.end()), offered.end());
  if (offered.empty()) {
    return std::nullopt;
  }
  Rng rng = shared_.draw_stream("pick");
  const std::size_t mutator = shared_.ledger.choose(offered, rng);
  std::erase_if(options, [&](const Option& option) { return option.mutator != mutator; });
  for (Option& option : options) {
    option.why = scout_.explain(root, option);
  }
  return best_of(std::move(options), t, out);
}

// A failed candidate gets its repair where that promises as much as anything else.
std::optional<Choice> TreeChooser::next_repair(std::vector<Event>& out) {
  if (!failed_node_) {
    return std::nullopt;
  }
  const NodeId node = *failed_node_;
  failed_node_.reset();
  const Prospect* best = scout_.outlook().at(0);
  if (!scout_.repair_wanted(node) || best == nullptr) {
    return std::nullopt;
  }
  constexpr Breadth kRepairs{0, 0, 0, 0, 24};
  const std::uint32_t t = template_of(node);
  std::vector<Option> options = scout_.options(node, kRepairs, false, "repair");
  const std::size_t repair = scout_.mutator("repair");
  std::erase_if(options, [&](const Option& option) { return option.mutator != repair; });
  scout_.score(t, options);
  std::erase_if(options, [&](const Option& option) {
    return !(option.value >= kRepairShareOfBest * best->value);
  });
  for (Option& option : options) {
    option.why = scout_.explain(node, option);
  }
  auto choice = best_of(std::move(options), t, out);
  scout_.drop_repair(node);
  return choice;
}

// The best point of the current node while that is nearly the best of all, else the best of all; of
// a node that was just left only what is far ahead of the others.
const Prospect* TreeChooser::choose_prospect(std::optional<NodeId> left) {
  Outlook& outlook = scout_.outlook();
  std::optional<std::size_t> first;  // rank: a longer look moves the prospects themselves
  double least = 0.0;
  for (std::size_t rank = 0; rank < kDeepest || !first; ++rank) {
    const Prospect* prospect = outlook.at(rank);
    if (prospect == nullptr || (first && prospect->value < least)) {
      break;
    }
    const auto node = node_of(prospect->point);
    if (!node) {
      continue;
    }
    if (!first) {
      first = rank;
      least = prospect->value * (current_ ? kStay : kTurnAway);
    }
    if (current_ ? node == current_ : node != left) {
      return prospect;
    }
  }
  return first ? outlook.at(*first) : nullptr;
}

std::optional<Choice> TreeChooser::next_prospect(std::vector<Event>& out) {
  std::optional<NodeId> left;
  if (current_) {
    const Node& node = shared_.tree.at(*current_);
    if (node.state == NodeState::active && node.stagnation >= patience(node)) {
      left = current_;
      leave(*current_, out);
    }
    if (left || node.state != NodeState::active) {
      current_.reset();
    }
  }
  const Prospect* found = choose_prospect(left);
  if (found == nullptr) {
    return std::nullopt;
  }
  const Prospect chosen = *found;
  const NodeId node = *node_of(chosen.point);
  Option option = scout_.attribute(node, chosen.point);
  if (chooses_structure(node)) {
    option.mutator = scout_.mutator("structural_switch");
    option.parents.clear();
  }
  option.belief = chosen.belief;
  option.gain = chosen.gain;
  option.value = chosen.value;
  Choice choice = make_choice(node, option, true, out);
  mind(choice.node).expected = chosen.value;
  if (current_ != choice.node) {
    tell_priorities(out);
    enter(choice.node, "its best untried point promises " + gain_text(chosen.value), out);
  }
  return choice;
}

// Open nodes are told what the best point under them promises now.
void TreeChooser::tell_priorities(std::vector<Event>& out) {
  std::set<NodeId> told;
  double last = 0.0;
  const auto tell = [&](NodeId id, double value, const char* words) {
    const Node& node = shared_.tree.at(id);
    const bool changed = value > 1.1 * node.priority || value < 0.9 * node.priority;
    if (!told.insert(id).second || node.state != NodeState::open || !changed) {
      return;
    }
    Update update;
    update.node = id;
    update.priority = value;
    update.reason = fmt::format("expected gain {}{} after {} observations",
                                words,
                                gain_text(value),
                                scout_.model().observations());
    shared_.edit(std::move(update), out);
  };
  for (std::size_t rank = 0; rank < kTold; ++rank) {
    const Prospect* prospect = scout_.outlook().at(rank);
    if (prospect == nullptr) {
      break;
    }
    last = prospect->value;
    if (const auto node = node_of(prospect->point)) {
      tell(*node, prospect->value, "");
    }
  }
  // Who stood high before and has no point among those promises less than the last of them.
  for (const NodeId id : shared_.tree.open_nodes(8)) {
    if (shared_.tree.at(id).priority > last) {
      tell(id, last, "at most ");
    }
  }
}

}  // namespace coppice::search
