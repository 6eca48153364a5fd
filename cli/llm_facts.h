// LlmFacts: what a prompt may know of a run, folded from proposals and evidence, in the log's
// order.
#pragma once

#include "cli/run_material.h"
#include "cli/stored_kernel.h"
#include "core/event.h"
#include "llm/proposals.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::cli {

// Coppice's other headers that kernels of this operation include on this backend, directly or
// through one another: a model can only call what it has seen.
std::string library_text(const Op& op, std::string_view backend);

using PromptFacts = std::map<std::string, std::string, std::less<>>;

// A value; fed by the run as it goes, or from its log afterwards: the same events give the same
// prompts.
class LlmFacts {
 public:
  void proposed(const Proposed& proposal);
  void evaluated(const Evidence& evidence);
  void edited(const Edit& edit);
  void replied(const LlmReplied& reply);
  // Dispatches on kind; others are ignored.
  void take(const Event& event);

  // The sections of llm/prompts/sections.json for one request.
  Result<PromptFacts> sections(const RunMaterial& material, const LlmAsked& ask) const;
  // What advice may speak of now.
  llm::ProposalScope scope(const RunMaterial& material) const;
  // The candidate's spec, as proposed.
  Result<CandidateSpec> spec(CandidateId candidate) const;
  // What a person would be asked now about a node: a repair where its last candidate failed, else a
  // rewrite of its best (or of the run's best).
  Result<LlmAsked> would_ask(NodeId node) const;

 private:
  struct Tried {
    Proposed proposal;
    std::optional<Evidence> evidence;  // at search fidelity; environment left out
  };
  struct NodeFacts {
    Insert insert;
    NodeState state = NodeState::open;
    double priority = 0.0;
    std::string given_up;  // why, where an edit pruned it
  };
  // What hangs at a node and below it.
  struct Tally {
    std::int64_t attempts = 0, valid = 0;
    std::optional<double> best;  // log cost
    bool holds_best = false;     // of the run
  };
  std::map<NodeId, Tally> tallies() const;
  std::string tree_text() const;
  std::string levels_text(const RunMaterial& material) const;
  std::string scores_text() const;
  void advise_sections(const RunMaterial& material, PromptFacts& out) const;
  std::optional<CandidateId> best() const;
  std::string outcome(const Tried& tried) const;
  std::string tried_text() const;
  std::string evidence_text(const Tried& tried) const;

  std::map<CandidateId, Tried> tried_;
  std::map<NodeId, NodeFacts> nodes_;
  std::vector<std::string> lost_;  // replies without a candidate: why
  std::set<LlmRequestId> advice_asked_;
  std::vector<std::string> advice_refused_;  // of the last one
};

}  // namespace coppice::cli
