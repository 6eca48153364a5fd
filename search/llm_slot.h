// LlmSlot: when a language model is asked, for what, and what becomes of its answers. Part of the
// state machine: it emits LlmAsked, hears LlmReplied, and hands out candidates as stored text.
#pragma once

#include "search/chooser.h"

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace coppice::search {

// A candidate of the model, ready to be proposed.
struct LlmWork {
  CandidateSpec spec;
  NodeId node;
  std::string mutator;  // "llm_rewrite"
  std::vector<CandidateId> parents;
  std::string why;
};

// Its nodes hang under one node of their own, so that neither their attempts nor their bests count
// in the nodes of the rules. Deterministic; used by the engine only.
class LlmSlot {
 public:
  LlmSlot(Shared& shared, LlmOptions options) : shared_(shared), options_(std::move(options)) {}

  // Asks as long as slots are free, the model's share of the attempts is not spent, and there is a
  // candidate to start from. The decisions go to `out`.
  void ask(std::vector<Event>& out);
  void take(const LlmReplied& reply, std::vector<Event>& out);
  // The next candidate to evaluate; the caller enters it and says so by sent().
  std::optional<LlmWork> next();
  void sent(const LlmWork& work, CandidateId candidate);
  // A candidate of ours came back at search fidelity.
  void learn(const Attempt& attempt, const Lesson& lesson, std::vector<Event>& out);
  bool owns(CandidateId candidate) const { return origin_.contains(candidate); }
  // The session ended: what was asked will not be answered; repairs are asked for again.
  void lost();
  // An answer may still bring work.
  bool waiting() const { return asked_.size() > (advising_ ? 1U : 0U) || !ready_.empty(); }

 private:
  struct Ask {
    NodeId node;
    std::string action;
    std::vector<CandidateId> parents;
    std::string why;
    bool planned = false;  // the node is an idea of the model's that waits for code
  };
  // One idea: its node, and how its code fared.
  struct Idea {
    std::optional<double> best;  // log cost of the best valid one
    double bar = 0.0;            // best of the run when it was proposed
    int repairs = 0;
    std::vector<LlmWork> variants;  // to be tried if the first one is valid
  };

  bool may_ask() const;
  bool advice_due() const;
  void send_ask(Ask ask, std::vector<Event>& out);
  std::optional<Ask> next_planned();
  void take_advice(const LlmReplied& reply, std::vector<Event>& out);
  std::optional<Ask> next_ask();
  std::optional<CandidateId> second_parent(CandidateId first) const;
  NodeId collector(std::vector<Event>& out);
  NodeId open_idea(const Ask& ask, const LlmReplied& reply, std::vector<Event>& out);
  void close(NodeId node, std::string reason, std::vector<Event>& out);
  void failed();     // a reply without a candidate
  void fruitless();  // an idea that gained nothing
  void judge(NodeId node, const Lesson& lesson, std::vector<Event>& out);

  Shared& shared_;
  LlmOptions options_;
  std::uint64_t requests_ = 0;
  std::uint64_t turns_ = 0;  // of the actions
  std::map<LlmRequestId, Ask> asked_;
  std::deque<Ask> repairs_;
  std::deque<LlmWork> ready_;
  std::set<std::string> known_;  // specs that were proposed, as text
  std::map<NodeId, Idea> ideas_;
  std::map<CandidateId, NodeId> origin_;
  std::optional<NodeId> collector_;
  std::int64_t attempts_ = 0;    // of ours
  std::int64_t resume_at_ = 0;   // attempts of the run before which nothing is asked
  std::vector<NodeId> planned_;  // ideas that advice has inserted and nobody wrote yet
  std::int64_t advised_at_ = 0;  // attempts of the run
  bool advising_ = false;
  int failures_in_a_row_ = 0;
  int fruitless_in_a_row_ = 0;
  bool gone_ = false;
};

}  // namespace coppice::search
