// RunHistory: what happened in a run, folded from its log; no engine, no compiler, no checkout.
#pragma once

#include "archive/experiment_log.h"
#include "core/event.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::cli {

struct Attempt {
  Proposed proposal;
  std::optional<Evidence> evidence;  // absent: in flight, or lost in an interruption
  Nanoseconds at{};                  // running time of the run when the result came
  bool lost = false;

  bool valid() const { return evidence && evidence->verdict.valid; }
  // ln(time / baseline) of a valid attempt.
  std::optional<double> log_cost() const;
  std::optional<double> speedup() const;
};

struct NodeRecord {
  Insert insert;
  NodeState state = NodeState::open;
  double priority = 0.0;
  std::optional<CandidateId> best;
  std::string reason;  // of its last change
  std::int64_t attempts = 0, valid = 0;
  std::optional<double> best_log_cost;  // of its own attempts
};

struct RunHistory {
  RunStarted started;
  Nanoseconds began{}, written{};  // wall clock of the first and the last event
  std::vector<BaselineFrozen> baselines;
  std::vector<Attempt> attempts;  // in the order of proposal, all fidelities
  std::map<NodeId, NodeRecord> nodes;
  std::vector<Promoted> promoted;
  std::optional<Stopped> stopped;
  Nanoseconds elapsed{};
  std::int64_t sessions = 1;
  std::uint64_t events = 0;

  // Attempts in the sense of budgets: proposed candidates, finals and promotion not counted.
  std::int64_t searched() const;
  std::int64_t valid() const;
  std::map<std::string, std::int64_t> rejected() const;    // failure class to count
  const Attempt* attempt_of(CandidateId candidate) const;  // its most thorough valid one, else last
  // The run's answer in a precision class: what was promoted, else the best finalist, else the best
  // of the search. Nothing when no attempt was valid.
  const Attempt* best(std::string_view precision) const;
};

Result<RunHistory> fold_history(const archive::ExperimentLog& log);

}  // namespace coppice::cli
