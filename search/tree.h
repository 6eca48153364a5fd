// Tree: the ideas of a run and the three edits that may change them, each validated.
#pragma once

#include "core/edit.h"
#include "core/ids.h"
#include "core/result.h"
#include "core/value.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace coppice::search {

struct Node {
  NodeId id, parent;
  NodeKind kind = NodeKind::root;
  NodeState state = NodeState::open;
  std::string template_name, title, text;
  ValueMap fixed;      // all fixed axes on the way from the root
  std::string reason;  // of the last edit
  double priority = 0.0;
  std::vector<NodeId> children;  // in order of insertion
  // Filled by record(): what the attempts under this node showed.
  std::optional<CandidateId> best;
  double best_log_cost = 0.0;
  std::int64_t attempts = 0, valid = 0;
  int stagnation = 0;  // attempts since the last improvement under this node, or since it was left
};

// The result of one attempt under a node.
struct Outcome {
  CandidateId candidate;
  bool valid = false;     // valid and of the class that the tree compares by
  double log_cost = 0.0;  // valid only
};

// Nodes have ids 1, 2, 3, ...; node 1 is the root. A value; used by one thread.
class Tree {
 public:
  // What is wrong with the edit, or nothing. Refused: an id that is unknown or already taken, a
  // parent that is pruned or under the node itself, an axis fixed twice, an Update that changes
  // nothing, prunes, or revives a node under a pruned parent, a priority that is not a finite
  // number, an edit without a reason, pruning the root or a pruned node.
  Result<void> check(const Edit& edit) const;
  // Refuses as check() does and then leaves the tree as it was. O(log nodes), and for a Prune the
  // size of the subtree.
  Result<void> apply(const Edit& edit);

  NodeId next_id() const { return {nodes_.size() + 1}; }
  std::size_t size() const { return nodes_.size(); }
  bool contains(NodeId id) const { return id.value >= 1 && id.value <= nodes_.size(); }
  const Node& at(NodeId id) const;
  const std::vector<Node>& nodes() const { return nodes_; }

  // The open node with the highest priority, ties by id; the root is never selected.
  std::optional<NodeId> select() const;
  // Open nodes by priority, ties by id; at most `limit`.
  std::vector<NodeId> open_nodes(std::size_t limit) const;
  std::size_t open_count() const { return open_.size(); }

  // Counts an attempt at the node and at everything above it.
  void record(NodeId node, const Outcome& outcome);
  void leave(NodeId node);  // sets the stagnation counter of a node back

 private:
  Result<void> check_insert(const Insert& insert) const;
  Result<void> check_update(const Update& update) const;
  Result<void> check_prune(const Prune& prune) const;
  Node& get(NodeId id) { return nodes_[id.value - 1]; }
  void set_state(Node& node, NodeState state);

  std::vector<Node> nodes_;
  std::set<std::pair<double, std::uint64_t>> open_;  // (-priority, id)
};

}  // namespace coppice::search
