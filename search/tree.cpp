// The tree's edits: validated, then applied.
#include "search/tree.h"

#include "core/check.h"

#include <fmt/format.h>

#include <cmath>

namespace coppice::search {
namespace {

Error refuse(std::string message) {
  return Error{ErrorCode::corrupt, std::move(message)};
}

// Which kind of parent a kind of node may hang under.
bool may_hang(NodeKind child, NodeKind parent) {
  switch (child) {
    case NodeKind::root:
      return false;
    case NodeKind::template_root:
      return parent == NodeKind::root;
    case NodeKind::structural:
      return parent == NodeKind::template_root || parent == NodeKind::structural;
    case NodeKind::axis_focus:
    case NodeKind::idea:
      return parent != NodeKind::root;
  }
  COPPICE_UNREACHABLE();
}

}  // namespace

const Node& Tree::at(NodeId id) const {
  COPPICE_CHECK(contains(id));
  return nodes_[id.value - 1];
}

Result<void> Tree::check(const Edit& edit) const {
  if (const Insert* insert = std::get_if<Insert>(&edit)) {
    return check_insert(*insert);
  }
  if (const Update* update = std::get_if<Update>(&edit)) {
    return check_update(*update);
  }
  return check_prune(std::get<Prune>(edit));
}

Result<void> Tree::check_insert(const Insert& insert) const {
  const std::string place = fmt::format("insert node {}: ", insert.node.value);
  if (insert.reason.empty()) {
    return refuse(place + "expected a reason, found none");
  }
  if (!std::isfinite(insert.priority)) {
    return refuse(place + fmt::format("expected a finite priority, found {}", insert.priority));
  }
  if (insert.node == insert.parent) {
    return refuse(place + "a node can't be its own parent");
  }
  if (contains(insert.node)) {
    return refuse(place + "the id is taken");
  }
  if (insert.node != next_id()) {
    return refuse(place + fmt::format("expected the next free id {}", next_id().value));
  }
  if (insert.kind == NodeKind::root) {
    return nodes_.empty() && !insert.parent ? Result<void>()
                                            : refuse(place + "there is a root already");
  }
  if (!contains(insert.parent)) {
    return refuse(place + fmt::format("unknown parent {}", insert.parent.value));
  }
  const Node& parent = at(insert.parent);
  if (parent.state == NodeState::pruned) {
    return refuse(place + fmt::format("parent {} is pruned", parent.id.value));
  }
  if (!may_hang(insert.kind, parent.kind)) {
    return refuse(
        place + fmt::format("{} can't hang under {}", to_text(insert.kind), to_text(parent.kind)));
  }
  if (parent.kind != NodeKind::root && insert.template_name != parent.template_name) {
    return refuse(place + fmt::format("expected its parent's template \"{}\", found \"{}\"",
                                      parent.template_name,
                                      insert.template_name));
  }
  for (const auto& [axis, value] : insert.fixed) {
    const auto fixed = parent.fixed.find(axis);
    if (fixed != parent.fixed.end()) {
      return refuse(place + fmt::format("axis {} is already fixed to {} above",
                                        axis,
                                        coppice::to_text(fixed->second)));
    }
  }
  return {};
}

Result<void> Tree::check_update(const Update& update) const {
  const std::string place = fmt::format("update node {}: ", update.node.value);
  if (update.reason.empty()) {
    return refuse(place + "expected a reason, found none");
  }
  if (!contains(update.node)) {
    return refuse(place + "unknown node");
  }
  if (!update.priority && !update.state && !update.best) {
    return refuse(place + "it changes nothing");
  }
  if (update.priority && !std::isfinite(*update.priority)) {
    return refuse(place + fmt::format("expected a finite priority, found {}", *update.priority));
  }
  if (update.best && !*update.best) {
    return refuse(place + "expected a candidate, found none");
  }
  const Node& node = at(update.node);
  if (update.state == NodeState::pruned) {
    return refuse(place + "pruning is an edit of its own");
  }
  if (node.state == NodeState::pruned && update.state != NodeState::open) {
    return refuse(place + "the node is pruned; only re-opening it is possible");
  }
  if (node.state == NodeState::pruned && at(node.parent).state == NodeState::pruned) {
    return refuse(place + fmt::format("its parent {} is pruned", node.parent.value));
  }
  return {};
}

Result<void> Tree::check_prune(const Prune& prune) const {
  const std::string place = fmt::format("prune node {}: ", prune.node.value);
  if (prune.reason.empty()) {
    return refuse(place + "expected a reason, found none");
  }
  if (!contains(prune.node)) {
    return refuse(place + "unknown node");
  }
  if (at(prune.node).kind == NodeKind::root) {
    return refuse(place + "the root stays");
  }
  if (at(prune.node).state == NodeState::pruned) {
    return refuse(place + "it is pruned already");
  }
  return {};
}

void Tree::set_state(Node& node, NodeState state) {
  const std::pair<double, std::uint64_t> key{-node.priority, node.id.value};
  open_.erase(key);
  node.state = state;
  if (state == NodeState::open && node.kind != NodeKind::root) {
    open_.insert(key);
  }
}

Result<void> Tree::apply(const Edit& edit) {
  COPPICE_TRY_VOID(check(edit));
  if (const Insert* insert = std::get_if<Insert>(&edit)) {
    Node node;
    node.id = insert->node;
    node.parent = insert->parent;
    node.kind = insert->kind;
    node.template_name = insert->template_name;
    node.title = insert->title;
    node.text = insert->text;
    node.reason = insert->reason;
    node.priority = insert->priority;
    node.fixed = insert->fixed;
    if (insert->parent) {
      Node& parent = get(insert->parent);
      node.fixed.insert(parent.fixed.begin(), parent.fixed.end());
      parent.children.push_back(node.id);
    }
    nodes_.push_back(std::move(node));
    set_state(nodes_.back(), NodeState::open);
    return {};
  }
  if (const Update* update = std::get_if<Update>(&edit)) {
    Node& node = get(update->node);
    node.reason = update->reason;
    open_.erase({-node.priority, node.id.value});
    node.priority = update->priority.value_or(node.priority);
    node.best = update->best ? update->best : node.best;
    set_state(node, update->state.value_or(node.state));
    return {};
  }
  const Prune& prune = std::get<Prune>(edit);
  std::vector<NodeId> subtree{prune.node};
  for (std::size_t i = 0; i < subtree.size(); ++i) {
    Node& node = get(subtree[i]);
    if (i == 0 || node.state != NodeState::pruned) {
      node.reason = i == 0 ? prune.reason : fmt::format("node {} was pruned", prune.node.value);
    }
    set_state(node, NodeState::pruned);
    subtree.insert(subtree.end(), node.children.begin(), node.children.end());
  }
  return {};
}

std::optional<NodeId> Tree::select() const {
  if (open_.empty()) {
    return std::nullopt;
  }
  return NodeId{open_.begin()->second};
}

std::vector<NodeId> Tree::open_nodes(std::size_t limit) const {
  std::vector<NodeId> out;
  for (auto it = open_.begin(); it != open_.end() && out.size() < limit; ++it) {
    out.push_back({it->second});
  }
  return out;
}

void Tree::record(NodeId id, const Outcome& outcome) {
  while (id) {
    Node& node = get(id);
    ++node.attempts;
    node.valid += outcome.valid ? 1 : 0;
    const bool better = outcome.valid && (node.valid == 1 || outcome.log_cost < node.best_log_cost);
    if (better) {
      node.best = outcome.candidate;
      node.best_log_cost = outcome.log_cost;
      node.stagnation = 0;
    } else {
      ++node.stagnation;
    }
    id = node.parent;
  }
}

void Tree::leave(NodeId id) {
  get(id).stagnation = 0;
}

}  // namespace coppice::search
