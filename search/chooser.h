// Chooser: the step in which search strategies differ; which point is tried next, and why.
#pragma once

#include "core/event.h"
#include "core/executor.h"
#include "planner/frontier.h"
#include "planner/warm_source.h"
#include "search/advice.h"
#include "search/book.h"
#include "search/ledger.h"
#include "search/memory.h"
#include "search/tree.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coppice::search {

struct Choice {
  Point point;
  NodeId node;
  std::string mutator;
  std::vector<CandidateId> parents;
  std::optional<Prediction> prediction;
  std::string why;
};

// What every strategy works on; owned by the engine.
struct Shared {
  std::uint64_t seed = 0;
  SearchOptions options;
  Domain domain;
  Book book;
  Tree tree;
  Ledger ledger;
  Advice advice;                          // of a language model; empty without one
  std::vector<NodeId> template_nodes;     // by template
  std::vector<planner::WarmSource> warm;  // what a strategy with a world model starts from
  Memory memory;                          // of dead ends that the warm-start data proves

  Shared(std::uint64_t run_seed,
         SearchOptions run_options,
         Domain run_domain,
         std::vector<planner::WarmSource> warm_sources = {});
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  // Applies an edit of our own, which must be sound, and puts it into the decisions.
  void edit(Edit change, std::vector<Event>& out);
  // Random numbers of the next attempt for one purpose.
  Rng draw_stream(std::string_view purpose) const;
  bool is_new(std::uint32_t t, const Genome& genome) const;
};

// Deterministic. Called by the engine only.
class Chooser {
 public:
  virtual ~Chooser() = default;
  // The next point, never one that the book knows; nothing when there is none left. Edits that led
  // to it go to `out` first.
  virtual std::optional<Choice> next(std::vector<Event>& out) = 0;
  // An attempt at search fidelity came back (not called for infrastructure failures).
  virtual void learn(const Attempt& attempt, const Lesson& lesson, std::vector<Event>& out) = 0;
  // An edit of a recorded run, already applied; next() is not called in such a run. What
  // frontier(), elites() and the ledger come to must be the same as if this chooser had made it.
  virtual void follow(const Edit& /*edit*/) {}
  // The domain has a new template, last in the space, whose node is in the tree; the attempt is of
  // a point of it. False: this strategy goes on without it.
  virtual bool grow(const Attempt& /*first*/, const Lesson& /*lesson*/) { return false; }
  virtual bool can_grow() const { return false; }
  // Nothing is asked of it for a while: memory that only spares work may go.
  virtual void rest() {}
  virtual std::vector<CandidateId> elites() const { return {}; }
  virtual std::vector<planner::LevelRecord> frontier() { return {}; }
};

// Inserts the root and a node for each template, and prunes templates without a valid point.
void plant(Shared& shared, std::vector<Event>& out);

// Tells the tree of the dead ends that memory is sure of, with their evidence, as pruned nodes.
void recall_dead_ends(Shared& shared, std::vector<Event>& out);
// A valid candidate where memory saw a dead end: the fact is forgotten.
void forget_contradicted(Shared& shared,
                         const Point& point,
                         CandidateId candidate,
                         std::vector<Event>& out);

std::unique_ptr<Chooser> make_chooser(Shared& shared, Executor& executor);
std::unique_ptr<Chooser> make_tree_chooser(Shared& shared, Executor& executor);
std::unique_ptr<Chooser> make_random_chooser(Shared& shared);
std::unique_ptr<Chooser> make_best_of_n_chooser(Shared& shared);
std::unique_ptr<Chooser> make_default_chooser(Shared& shared);
std::unique_ptr<Chooser> make_hillclimb_chooser(Shared& shared);

}  // namespace coppice::search
