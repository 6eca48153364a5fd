// Scout: asks the mutators for points under a node and scores them with the world model.
#pragma once

#include "mutators/mutator.h"
#include "planner/world_model.h"
#include "search/chooser.h"
#include "search/elites.h"
#include "search/outlook.h"

#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace coppice::search {

// A point that some mutator offers, and what the model expects of it.
struct Option {
  Genome genome;
  std::size_t mutator = 0;  // index in the table
  std::vector<CandidateId> parents;
  planner::Belief belief;
  double gain = 0.0;   // expected improvement times P(valid)
  double value = 0.0;  // the same per unit of budget
  std::string why;     // where the mutator is not to explain it
};

// How many points each mutator may offer.
struct Breadth {
  std::size_t jumps = 0, steps = 0, crossovers = 0, switches = 0, repairs = 0;
};

class Scout {
 public:
  Scout(Shared& shared, Executor& executor);
  Scout(const Scout&) = delete;
  Scout& operator=(const Scout&) = delete;

  void learn(const Attempt& attempt, const Lesson& lesson);
  void grow();         // the domain has: the model starts anew with all that was seen
  bool ready() const;  // the model is on and knows enough
  const EliteArchive& elites() const { return elites_; }
  planner::WorldModel& model() { return model_; }
  Outlook& outlook() { return outlook_; }
  const mutators::MutatorTable& table() const { return table_; }
  std::size_t mutator(std::string_view name) const;

  // Distinct untried points under the node; empty when there is none. A node whose structure is
  // still free offers only switches (`switches_only`).
  std::vector<Option> options(NodeId node,
                              const Breadth& breadth,
                              bool switches_only,
                              std::string_view purpose);
  // Fills belief, gain and value in (one prediction for all).
  void score(std::uint32_t t, std::vector<Option>& options);
  // Who would have offered this point, and from which parent: a step from an elite, another
  // structure, or a jump.
  Option attribute(NodeId node, const Point& point);
  const std::vector<Genome>& neighbours_of(std::uint32_t t, const Genome& genome);
  // Untried neighbours of the elites and mixtures of them: what a sampled pool lacks.
  std::vector<Point> around_elites();
  std::string explain(NodeId node, const Option& option);
  void forget(NodeId node);  // frees what is kept for a node that is given up
  void rest();               // frees what can be worked out anew

  std::vector<Genome> sample(NodeId node, std::size_t limit, Rng& rng);
  // A failed candidate under the node waits for its repair.
  void want_repair(NodeId node, mutators::Failed failed);
  bool repair_wanted(NodeId node) const { return failed_.contains(node); }
  void drop_repair(NodeId node) { failed_.erase(node); }

 private:
  Subspace& subspace(NodeId node);
  mutators::Scene scene(NodeId node);

  Shared& shared_;
  Executor& executor_;
  mutators::MutatorTable table_;
  planner::WorldModel model_;
  Outlook outlook_;
  EliteArchive elites_;
  std::vector<planner::Observation> seen_;  // where the domain may grow
  std::map<NodeId, Subspace> subspaces_;
  std::map<NodeId, mutators::Failed> failed_;
  std::map<Point, std::vector<Genome>> neighbours_;
  std::deque<Point> neighbours_age_;  // oldest first
};

}  // namespace coppice::search
