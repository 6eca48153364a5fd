// RunFold: everything that lists, reports and exports need of a run, folded from its log step by
// step.
#pragma once

#include "archive/experiment_log.h"
#include "archive/lane_use.h"
#include "core/event.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace coppice::archive {

// One proposal and what became of it.
struct Attempt {
  Proposed proposal;
  std::optional<Evidence> evidence;  // absent: in flight, or lost in an interruption
  EventSeq proposed_at, evaluated_at;
  Nanoseconds written{};  // wall clock of the proposal
  Nanoseconds at{};       // running time of the run when the result came
  std::optional<LaneUse> lane;
  bool lost = false;
  bool improved = false;  // the best of its class and fidelity when it came

  bool valid() const { return evidence && evidence->verdict.valid; }
  bool in_flight() const { return !evidence && !lost; }
  // ln(time / baseline) of a valid attempt.
  std::optional<double> log_cost() const;
  // Against the frozen baseline; nothing where none is known.
  std::optional<double> speedup() const;
};

// A distinct implementation: attempts at it in order (indices into RunFold::attempts()).
struct CandidateRecord {
  CandidateId id;
  std::vector<std::size_t> attempts;
};

struct NodeRecord {
  Insert insert;
  NodeState state = NodeState::open;
  double priority = 0.0;
  std::optional<CandidateId> best;
  std::string reason;           // of its last change
  std::vector<EventSeq> edits;  // its insertion and each change
  std::int64_t attempts = 0;    // as RunFold::searched()
  std::int64_t valid = 0;
  std::optional<double> best_log_cost;  // of its own attempts
};

// A step of the best-so-far curve.
struct BestStep {
  std::size_t attempt = 0;    // index into RunFold::attempts()
  std::int64_t searched = 0;  // attempts that had answered by then, this one included
  Nanoseconds at{};
  double log_cost = 0.0;
};

struct Rejection {
  Gate gate = Gate::contract;
  FailureClass failure = FailureClass::none;
  friend auto operator<=>(const Rejection&, const Rejection&) = default;
};

struct LlmFigures {
  std::int64_t asked = 0, replied = 0, failed = 0;
  Cost cost;
};

struct FoldOptions {
  // Evidence's free-form sections (environment, validation, resources, artifacts) are most of a
  // log's bytes; without them a run of 100,000 attempts fits into memory. full_evidence() reads one
  // packet back.
  bool keep_sections = false;
};

// A value; feed it rows in order, look at it at any time, feed it more while the run goes on.
class RunFold {
 public:
  explicit RunFold(FoldOptions options = {}) : options_(options) {}

  // Rows that came since the last call; returns how many. Errors as ExperimentLog::visit, or
  // corrupt with the seq of an event that can't be read.
  Result<std::uint64_t> catch_up(const ExperimentLog& log);
  Result<void> take(const LogRow& row);

  std::uint64_t events() const { return events_; }
  const std::optional<RunStarted>& start() const { return start_; }
  Nanoseconds began() const { return began_; }      // wall clock of the first event
  Nanoseconds written() const { return written_; }  // wall clock of the newest event
  Nanoseconds elapsed() const { return elapsed_; }  // running time, over all sessions
  std::int64_t sessions() const { return sessions_; }
  const std::vector<BaselineFrozen>& baselines() const { return baselines_; }
  const std::vector<Promoted>& promoted() const { return promoted_; }
  const std::optional<Stopped>& stopped() const { return stopped_; }  // not if resumed since
  const std::optional<StopRequested>& stop_requested() const { return stop_requested_; }
  const LlmFigures& llm() const { return llm_; }
  const Cost& cost() const { return cost_; }  // summed over all evidence and LLM replies

  const std::vector<Attempt>& attempts() const { return attempts_; }  // all, as proposed
  const Attempt* attempt(AttemptId id) const;
  const std::map<CandidateId, CandidateRecord>& candidates() const { return candidates_; }
  const std::map<NodeId, NodeRecord>& nodes() const { return nodes_; }

  // Attempts in the sense of budgets: search fidelity only; neither those lost in an interruption
  // nor those that failed through no fault of the candidate (they are proposed again).
  std::int64_t searched() const { return searched_; }
  std::int64_t valid() const { return valid_; }
  std::int64_t in_flight() const;
  const std::map<Rejection, std::int64_t>& rejections() const { return rejections_; }
  std::map<std::string, std::int64_t> rejected() const;  // by failure class, search fidelity

  std::vector<std::string> precisions() const;  // classes with a valid attempt, by name
  // The best-so-far curve of a class at search fidelity.
  const std::vector<BestStep>& curve(std::string_view precision) const;
  // The most thorough valid attempt at a candidate, else its last.
  const Attempt* attempt_of(CandidateId candidate) const;
  // The run's answer in a class: what was promoted last, else the best finalist, else the best of
  // the search. Nothing when no attempt was valid.
  const Attempt* best(std::string_view precision) const;
  // The same over all classes: the promoted or best one with the lowest cost.
  const Attempt* best() const;

  // An attempt's evidence with all sections.
  static Result<Evidence> full_evidence(const ExperimentLog& log, const Attempt& attempt);

 private:
  void see(const LogRow& row, RunStarted& event);
  void see(const LogRow& row, BaselineFrozen& event);
  void see(const LogRow& row, Evaluated& event);
  void see(const LogRow& row, Tick& event);
  void see(const LogRow& row, StopRequested& event);
  void see(const LogRow& row, Resumed& event);
  void see(const LogRow& row, LlmReplied& event);
  void see(const LogRow& row, Proposed& event);
  void see(const LogRow& row, EditApplied& event);
  void see(const LogRow& row, LlmAsked& event);
  void see(const LogRow& row, Stopped& event);
  void see(const LogRow& row, Promoted& event);
  void see(const LogRow& row, WorkRequested& event);
  void see(const LogRow& row, Idle& event);
  void see(const LogRow& row, SliceEnded& event);
  void see(const LogRow& row, Allocated& event);
  void apply(EventSeq seq, Insert& insert);
  void apply(EventSeq seq, Update& update);
  void apply(EventSeq seq, Prune& prune);
  void settle(Attempt& attempt, std::size_t index);
  void give_back(const Attempt& attempt);  // it does not count after all
  void charge(const Cost& cost);

  static constexpr std::size_t kFidelities = 3;
  using BestOf = std::array<std::optional<std::size_t>, kFidelities>;  // by fidelity

  FoldOptions options_;
  std::uint64_t events_ = 0;
  std::optional<RunStarted> start_;
  Nanoseconds began_{}, written_{}, elapsed_{};
  std::int64_t sessions_ = 0, searched_ = 0, answered_ = 0, valid_ = 0;
  std::vector<BaselineFrozen> baselines_;
  std::vector<Promoted> promoted_;
  std::optional<Stopped> stopped_;
  std::optional<StopRequested> stop_requested_;
  LlmFigures llm_;
  Cost cost_;
  std::vector<Attempt> attempts_;
  std::unordered_map<AttemptId, std::size_t> position_;
  std::map<CandidateId, CandidateRecord> candidates_;
  std::map<NodeId, NodeRecord> nodes_;
  std::map<NodeId, std::vector<NodeId>> children_;
  std::map<Rejection, std::int64_t> rejections_;
  std::map<std::string, std::vector<BestStep>, std::less<>> curves_;
  std::map<std::string, BestOf, std::less<>> best_;
};

}  // namespace coppice::archive
