// The engine's whole state, and the steps it is made of.
#pragma once

#include "search/chooser.h"
#include "search/engine.h"
#include "search/llm_slot.h"
#include "search/pace.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coppice::search {

enum class Phase {
  searching,
  draining,   // the budget is spent; attempts in flight still come back
  finalists,  // the best are timed again
  promoting,  // the best of those must pass with fresh seeds and processes
  done,
};

// A candidate on its way to being the answer of its precision class.
struct Finalist {
  CandidateId candidate;
  std::size_t precision = 0;
  bool asked = false;      // at finalist fidelity
  bool failed = false;     // there, or at promotion
  double log_cost = 0.0;   // finalist fidelity where measured, else search fidelity
  bool timed = false;      // log_cost is of finalist fidelity
  bool promotion = false;  // asked for
};

struct Engine::State {
  State(EngineSetup given,
        Domain domain,
        std::vector<planner::WarmSource> warm,
        Executor& executor);

  std::vector<Event> propose(int lane);
  std::vector<Event> observe(const Event& input);

  // ---- following a recorded run ----
  Result<void> follow(const Event& event);
  Result<void> follow_edit(const Edit& edit);
  Result<void> follow_proposal(Proposed proposed);
  Result<void> follow_candidate(const Proposed& proposed);

  // ---- templates that language models bring ----
  void offer(const LlmReplied& reply);
  bool grow(const std::string& name);
  void grow_wanted(const Attempt& attempt, const Lesson& lesson, std::vector<Event>& out);

  // ---- proposing ----
  std::optional<Proposed> next_search(std::vector<Event>& out);
  std::optional<Proposed> next_stored(std::vector<Event>& out);
  std::optional<Proposed> next_of_model();
  std::optional<Proposed> next_final();
  Event send(Proposed proposed, int lane, std::optional<Point> point);
  Event send_again(int lane);
  std::optional<Event> next_work(int lane, std::vector<Event>& out);
  std::optional<StopReason> budget_spent() const;
  void end_search(StopReason reason, std::string message);
  void choose_finalists();
  std::optional<Proposed> next_promotion();
  Proposed again(const Finalist& finalist, Fidelity fidelity, std::string why) const;
  Event stop();

  // ---- observing ----
  void take(const Evidence& evidence, std::vector<Event>& out);
  void take_infrastructure(Attempt attempt, const Evidence& evidence);
  void take_final(const Attempt& attempt, const Evidence& evidence, std::vector<Event>& out);
  void take_lost(const std::vector<AttemptId>& lost);
  void refresh_view();

  EngineSetup setup;
  Shared shared;
  std::unique_ptr<Chooser> chooser;
  std::optional<LlmSlot> llm;
  // What a reply offers as a template, by name; with its first candidate once that is right.
  struct Offer {
    TemplateSpace space;
    CandidateSpec spec;
    std::optional<std::pair<Attempt, Lesson>> first;
  };
  std::map<std::string, Offer, std::less<>> offers;
  Phase phase = Phase::searching;
  bool planted = false;
  std::uint64_t attempts_named = 0;
  std::uint32_t next_seed = 0;  // of setup.seeds
  std::vector<NodeId> seed_nodes;
  // Lost or voided attempts, to be proposed again before anything new.
  std::deque<std::pair<Attempt, std::string>> retries;
  int infrastructure_in_a_row = 0;
  std::vector<Finalist> finalists;                   // by class, best first
  std::vector<std::optional<CandidateId>> promoted;  // by class
  Nanoseconds elapsed{};
  Pace pace;
  double money = 0.0;
  std::optional<std::string> user_stop;
  std::optional<StopRequested> limit;  // from outside: only the search ends, finalists come
  StopReason reason = StopReason::exhausted;
  std::string message;
  EngineView view;
};

}  // namespace coppice::search
