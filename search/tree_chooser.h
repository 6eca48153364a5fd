// TreeChooser: strategy "coppice"; picks the node with the highest expected gain, stays until it
// stagnates, and edits the tree with a reason for each edit.
#pragma once

#include "search/calibration.h"
#include "search/chooser.h"
#include "search/scout.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace coppice::search {

class TreeChooser final : public Chooser {
 public:
  TreeChooser(Shared& shared, Executor& executor);

  std::optional<Choice> next(std::vector<Event>& out) override;
  void learn(const Attempt& attempt, const Lesson& lesson, std::vector<Event>& out) override;
  void follow(const Edit& edit) override;
  bool grow(const Attempt& first, const Lesson& lesson) override;
  bool can_grow() const override { return true; }
  void rest() override { scout_.rest(); }
  std::vector<CandidateId> elites() const override;
  std::vector<planner::LevelRecord> frontier() override;

 private:
  struct Mind {             // what is remembered of a node besides the tree's own facts
    double expected = 0.0;  // best value seen at the last look
    int leaves = 0;         // times left since its last improvement
    int failures_in_a_row = 0;
    std::string last_failure;
  };

  // ---- choosing a point ----
  std::optional<Choice> next_warm(std::vector<Event>& out);
  std::optional<Choice> next_default(std::vector<Event>& out);
  std::optional<Choice> next_design(std::vector<Event>& out);
  std::optional<Choice> choose_in(NodeId node, std::vector<Event>& out);
  std::size_t pick_unmodelled(NodeId node, const std::vector<Option>& options, Rng& rng);
  Choice make_choice(NodeId node, const Option& option, bool scored, std::vector<Event>& out);
  void tell_pending();

  // ---- with a model: from all untried points to one ----
  std::optional<Choice> next_modelled(std::vector<Event>& out);
  std::optional<Choice> next_local(std::vector<Event>& out);
  std::optional<Choice> next_by_ledger(std::vector<Event>& out);
  std::optional<Choice> next_repair(std::vector<Event>& out);
  std::optional<Choice> next_prospect(std::vector<Event>& out);
  const Prospect* choose_prospect(std::optional<NodeId> left);
  std::optional<Choice> best_of(std::vector<Option> options,
                                std::uint32_t t,
                                std::vector<Event>& out);
  // The node that an untried point belongs to: the deepest one that still takes attempts; a
  // template's root where its structure has no node yet; nothing where it is pruned.
  std::optional<NodeId> node_of(const Point& point) const;
  void tell_priorities(std::vector<Event>& out);

  // ---- nodes ----
  std::optional<NodeId> current(std::vector<Event>& out);
  void enter(NodeId node, std::string reason, std::vector<Event>& out);
  void leave(NodeId node, std::vector<Event>& out);
  bool prune_if_hopeless(NodeId node, std::vector<Event>& out);
  void suggest_focus(NodeId node, std::vector<Event>& out);
  bool suggests_focus(NodeId node) const;
  void look_at_levels();
  bool reopen(std::vector<Event>& out);
  // The node under which a point belongs, inserted if need be.
  NodeId leaf_for(const Point& point, double priority, std::vector<Event>& out);
  NodeId child_for(NodeId parent,
                   std::size_t axis,
                   const Point& point,
                   double priority,
                   std::vector<Event>& out);
  // Takes options out whose structural choice has a node already.
  void drop_opened(std::uint32_t t, std::vector<Option>& options) const;
  // The node's structure is still free: its attempts open structural children.
  bool chooses_structure(NodeId node) const;
  bool structured(std::uint32_t t) const;
  int patience(const Node& node) const;
  std::uint32_t template_of(NodeId node) const;
  Mind& mind(NodeId node) { return minds_[node]; }

  void observe(const planner::Observation& observation);

  Shared& shared_;
  Scout scout_;
  planner::Frontier frontier_;
  std::vector<planner::Observation> seen_;  // where the domain may grow
  const std::uint32_t planted_;             // templates that the run began with
  std::optional<NodeId> current_;
  std::uint32_t next_default_ = 0;
  int designed_ = 0;
  std::map<NodeId, Mind> minds_;
  std::map<std::pair<NodeId, Signature>, NodeId> structure_;  // parent and (axis, level) to child
  std::set<Signature> opened_;                                // structural choices that have a node
  std::set<std::vector<std::uint32_t>> focused_;              // (node, axis, level) once suggested
  std::optional<NodeId> failed_node_;                         // waits for a repair
  Calibration calibration_;
};

}  // namespace coppice::search
