// Strategy "coppice": which node is worked on, and the edits that say why.
#include "core/check.h"
#include "search/tree_chooser.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {
namespace {

constexpr double kLeaveDiscount = 0.5;  // a node left without improvement waits for better ideas
constexpr int kMinAttemptsToPrune = 12;
constexpr std::size_t kPruneSample = 128;
constexpr double kPruneSpreads = 2.5;
constexpr std::size_t kFocusPerLeave = 2;

std::string percent(double log_gain) {
  return fmt::format("{:.3g} %", 100.0 * log_gain);
}

}  // namespace

int TreeChooser::patience(const Node& node) const {
  const int whole = shared_.options.stagnation;
  return node.kind == NodeKind::axis_focus ? std::max(1, whole / 2) : whole;
}

std::optional<NodeId> TreeChooser::current(std::vector<Event>& out) {
  if (current_) {
    const Node& node = shared_.tree.at(*current_);
    if (node.state == NodeState::active && node.stagnation < patience(node)) {
      return current_;
    }
    if (node.state == NodeState::active) {
      leave(*current_, out);
    }
    current_.reset();
  }
  auto selected = shared_.tree.select();
  if (!selected && reopen(out)) {
    selected = shared_.tree.select();
  }
  if (!selected) {
    return std::nullopt;
  }
  enter(*selected,
        fmt::format("the highest of {} open nodes: expected gain {}",
                    shared_.tree.open_count(),
                    percent(shared_.tree.at(*selected).priority)),
        out);
  return current_;
}

void TreeChooser::enter(NodeId node, std::string reason, std::vector<Event>& out) {
  if (current_ && current_ != node && shared_.tree.at(*current_).state == NodeState::active) {
    Update back;
    back.node = *current_;
    back.state = NodeState::open;
    back.reason = fmt::format("work goes on under node {}", node.value);
    shared_.edit(std::move(back), out);
  }
  Update update;
  update.node = node;
  update.state = NodeState::active;
  update.reason = std::move(reason);
  shared_.edit(std::move(update), out);
  current_ = node;
}

void TreeChooser::leave(NodeId id, std::vector<Event>& out) {
  const Node node = shared_.tree.at(id);
  // On leaving, not on return: what happens elsewhere must not count against it.
  shared_.tree.leave(id);
  if (prune_if_hopeless(id, out)) {
    return;
  }
  Mind& thoughts = mind(id);
  ++thoughts.leaves;
  Update update;
  update.node = id;
  update.best = node.best;
  const std::string stagnated = fmt::format("{} attempts without improvement", node.stagnation);
  if (node.kind == NodeKind::axis_focus) {
    update.state = NodeState::closed;
    update.reason = stagnated + ": its question is answered";
    shared_.edit(std::move(update), out);
    scout_.forget(id);
    return;
  }
  double expected = scout_.ready() ? thoughts.expected : 1.0;
  for (int i = 0; i < thoughts.leaves && !scout_.ready(); ++i) {
    expected *= kLeaveDiscount;  // without a model that would know
  }
  update.state = NodeState::open;
  update.priority = expected;
  update.reason =
      stagnated + fmt::format(": others go first; expected gain {}", percent(*update.priority));
  shared_.edit(std::move(update), out);
  suggest_focus(id, out);
}

bool TreeChooser::prune_if_hopeless(NodeId id, std::vector<Event>& out) {
  const Node& node = shared_.tree.at(id);
  const int enough = std::max(2 * shared_.options.stagnation, kMinAttemptsToPrune);
  if (node.attempts < enough || shared_.tree.open_count() == 0) {
    return false;
  }
  if (node.valid == 0) {
    shared_.edit(Prune{id,
                       fmt::format("{} attempts and not one valid; the last failed as {}",
                                   node.attempts,
                                   mind(id).last_failure)},
                 out);
    scout_.forget(id);
    return true;
  }
  if (!scout_.ready() || node.kind != NodeKind::structural) {
    return false;
  }
  std::vector<Option> options;
  Rng rng = shared_.draw_stream("prune");
  for (Genome& genome : scout_.sample(id, kPruneSample, rng)) {
    Option option;
    option.genome = std::move(genome);
    options.push_back(std::move(option));
  }
  if (options.empty()) {
    return false;
  }
  const std::uint32_t t = template_of(id);
  scout_.score(t, options);
  double ahead = 1e9;  // of the most hopeful point against the best of its class, in log cost
  for (const Option& option : options) {
    const std::size_t precision = shared_.domain.class_of({t, option.genome}).value_or(0);
    const auto best = shared_.book.best_log_cost(precision);
    if (!best) {
      return false;
    }
    ahead = std::min(ahead, option.belief.mean - kPruneSpreads * option.belief.spread - *best);
  }
  if (ahead <= 0.0) {
    return false;
  }
  shared_.edit(Prune{id,
                     fmt::format("even {} spreads below its mean the best of {} points stays {} "
                                 "behind the best so far",
                                 kPruneSpreads,
                                 options.size(),
                                 percent(ahead))},
               out);
  scout_.forget(id);
  return true;
}

bool TreeChooser::suggests_focus(NodeId id) const {
  return shared_.options.frontier && shared_.options.tree &&
         shared_.tree.at(id).kind != NodeKind::axis_focus;
}

void TreeChooser::look_at_levels() {
  if (!scout_.ready()) {
    return;
  }
  scout_.outlook().set_bars();
  if (const auto bar = scout_.outlook().bar(0)) {
    frontier_.refresh(scout_.model(), *bar);
  }
}

// Of all edits only leave() opens a node and gives it a priority at once.
void TreeChooser::follow(const Edit& edit) {
  const auto* update = std::get_if<Update>(&edit);
  if (update == nullptr || update->state != NodeState::open || !update->priority ||
      shared_.tree.at(update->node).kind == NodeKind::idea) {
    return;
  }
  if (suggests_focus(update->node)) {
    tell_pending();
    look_at_levels();
  }
}

// Levels that nobody tried yet become nodes of their own.
void TreeChooser::suggest_focus(NodeId id, std::vector<Event>& out) {
  const Node node = shared_.tree.at(id);
  if (!suggests_focus(id)) {
    return;
  }
  const std::uint32_t t = template_of(id);
  const AxisSpace& space = shared_.domain.axes(t);
  std::size_t inserted = 0;
  look_at_levels();
  for (const planner::LevelRecord& record : frontier_.untried()) {
    if (inserted == kFocusPerLeave) {
      break;
    }
    if (record.template_index != t) {
      continue;
    }
    const Axis& axis = space.axis(record.axis);
    if (axis.structural || node.fixed.contains(axis.name) ||
        !focused_
             .insert({static_cast<std::uint32_t>(id.value),
                      static_cast<std::uint32_t>(record.axis),
                      static_cast<std::uint32_t>(record.level)})
             .second) {
      continue;
    }
    Insert insert;
    insert.node = shared_.tree.next_id();
    insert.parent = id;
    insert.kind = NodeKind::axis_focus;
    insert.template_name = node.template_name;
    insert.fixed = {{axis.name, axis.levels[record.level]}};
    insert.title = axis.name + "=" + coppice::to_text(axis.levels[record.level]);
    insert.priority = scout_.ready() ? record.expected_gain : 0.75;
    insert.reason =
        "a level that no attempt has tried; expected gain " + percent(record.expected_gain);
    shared_.edit(std::move(insert), out);
    ++inserted;
  }
}

// Nothing is open: budget that is left goes to what was given up.
bool TreeChooser::reopen(std::vector<Event>& out) {
  for (const Node& node : shared_.tree.nodes()) {
    const bool given_up = node.state == NodeState::pruned && node.kind != NodeKind::axis_focus &&
                          node.kind != NodeKind::idea &&
                          shared_.tree.at(node.parent).state != NodeState::pruned &&
                          shared_.domain.hopeless(template_of(node.id)).empty();
    if (!given_up) {
      continue;
    }
    Rng rng = shared_.draw_stream("reopen");
    if (scout_.sample(node.id, 1, rng).empty()) {
      continue;
    }
    Update update;
    update.node = node.id;
    update.state = NodeState::open;
    update.reason = "re-opened: budget is left and nothing else is open";
    shared_.edit(std::move(update), out);
    return true;
  }
  return false;
}

void TreeChooser::drop_opened(std::uint32_t t, std::vector<Option>& options) const {
  std::erase_if(options, [&](const Option& option) {
    return opened_.contains(shared_.domain.signature({t, option.genome}));
  });
}

NodeId TreeChooser::child_for(
    NodeId parent, std::size_t axis, const Point& point, double priority, std::vector<Event>& out) {
  const std::uint16_t level = point.genome.levels[axis];
  const auto key = std::pair(parent, Signature{static_cast<std::uint32_t>(axis), level});
  const auto found = structure_.find(key);
  if (found != structure_.end()) {
    return found->second;
  }
  const Axis& what = shared_.domain.axes(point.template_index).axis(axis);
  Insert insert;
  insert.node = shared_.tree.next_id();
  insert.parent = parent;
  insert.kind = NodeKind::structural;
  insert.template_name = shared_.tree.at(parent).template_name;
  insert.fixed = {{what.name, what.levels[level]}};
  insert.title = what.name + "=" + coppice::to_text(what.levels[level]);
  insert.priority = priority;
  insert.reason = "a structural choice that was not open yet";
  const NodeId node = insert.node;
  shared_.edit(std::move(insert), out);
  structure_.emplace(key, node);
  return node;
}

NodeId TreeChooser::leaf_for(const Point& point, double priority, std::vector<Event>& out) {
  const NodeId root = shared_.template_nodes[point.template_index];
  NodeId node = root;
  const std::vector<std::size_t>& axes = shared_.domain.structural(point.template_index);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    node = child_for(node, axes[i], point, priority, out);
    if (i + 1 < axes.size() && shared_.tree.at(node).state == NodeState::open) {
      Update update;
      update.node = node;
      update.state = NodeState::active;
      update.reason = "its children carry the work";
      shared_.edit(std::move(update), out);
    }
  }
  opened_.insert(shared_.domain.signature(point));
  return node;
}

}  // namespace coppice::search
