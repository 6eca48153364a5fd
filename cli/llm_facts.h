// LlmFacts: what a prompt may know of a run, folded from proposals and evidence, in the log's
// order.
#pragma once

#include "cli/run_material.h"
#include "cli/stored_kernel.h"
#include "core/event.h"

#include <map>
#include <string>
#include <vector>

namespace coppice::cli {

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
  std::optional<CandidateId> best() const;
  std::string outcome(const Tried& tried) const;
  std::string tried_text() const;
  std::string evidence_text(const Tried& tried) const;

  std::map<CandidateId, Tried> tried_;
  std::map<NodeId, Insert> nodes_;
  std::vector<std::string> lost_;  // replies without a candidate: why
};

}  // namespace coppice::cli
