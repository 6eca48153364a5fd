// The run's main thread: asks the engine for work, hands it out, records what comes back.
#include "cli/run_loop.h"

#include "core/random.h"

#include <limits>
#include <map>
#include <set>
#include <utility>

namespace coppice::cli {
namespace {

constexpr Nanoseconds kWait{50 * 1000 * 1000};  // between looks at interrupts
constexpr Nanoseconds kGroupAge{20 * 1000 * 1000};
constexpr Nanoseconds kTickBeforeWork{100 * 1000 * 1000};  // time budgets are read from ticks
constexpr Nanoseconds kTickWaiting{5ll * 1000 * 1000 * 1000};

class Loop {
 public:
  explicit Loop(const RunLoop& parts)
      : parts_(parts),
        pool_(parts.evaluator, parts.pool),
        started_(parts.clock.now()),
        last_tick_(parts.elapsed_before),
        attempts_before_(parts.recorder.engine().view().attempts) {
    for (int lane = 0; lane < parts_.pool.lanes; ++lane) {
      free_lanes_.insert(lane);
    }
    if (parts_.recorded_order) {
      advance(Nanoseconds{0});
    }
  }

  Result<RunEnd> run() {
    while (true) {
      const int interrupts = parts_.interrupts();
      if (interrupts >= 2) {
        pool_.stop();
        return finish(true);
      }
      if (!parts_.recorded_order) {
        COPPICE_TRY_VOID(take_answers());
      }
      if (!stopped_ && interrupts == 0 && !turn_over()) {
        COPPICE_TRY_VOID(hand_out_work());
      }
      if (in_flight_.empty() && (stopped_ || interrupts > 0 || turn_over())) {
        return finish(!stopped_);
      }
      if (parts_.recorded_order && (!in_flight_.empty() || answers_due())) {
        COPPICE_TRY_VOID(take_first_recorded());
        continue;
      }
      if (in_flight_.empty() && parts_.llm != nullptr && parts_.llm->waiting()) {
        COPPICE_TRY_VOID(wait_for_answer());
        continue;
      }
      if (in_flight_.empty()) {
        COPPICE_TRY_VOID(unstick());
        continue;
      }
      COPPICE_TRY_VOID(wait_for_result());
    }
  }

 private:
  Nanoseconds elapsed() const {
    return parts_.elapsed_before +
           (parts_.recorded_order ? recorded_now_ : parts_.clock.now() - started_);
  }
  bool answers_due() const { return parts_.llm != nullptr && parts_.llm->waiting(); }
  const search::EngineView& view() const { return parts_.recorder.engine().view(); }

  // Once over, it stays so: an attempt that does not count after all is the next turn's.
  bool turn_over() {
    const Turn& turn = parts_.turn;
    turn_over_ = turn_over_ ||
                 (turn.attempts > 0 && view().attempts - attempts_before_ >= turn.attempts) ||
                 (turn.seconds.count() > 0 && elapsed() - parts_.elapsed_before >= turn.seconds);
    return turn_over_;
  }

  Result<void> tick(Nanoseconds least) {
    const Nanoseconds now = elapsed();
    if (now - last_tick_ < least) {
      return {};
    }
    last_tick_ = now;
    return record(Tick{now});
  }

  // Records an input and acts on the decisions.
  Result<void> record(const Event& input) {
    COPPICE_TRY(const std::vector<Event> decisions, parts_.recorder.step(input));
    COPPICE_TRY_VOID(tell_model(input));
    for (const Event& decision : decisions) {
      COPPICE_TRY_VOID(tell_model(decision));
      if (const auto* stopped = std::get_if<Stopped>(&decision)) {
        stopped_ = *stopped;
      } else if (const auto* proposed = std::get_if<Proposed>(&decision)) {
        COPPICE_TRY_VOID(dispatch(*proposed));
      }
    }
    return {};
  }

  Result<void> tell_model(const Event& event) {
    return parts_.llm == nullptr ? Result<void>() : parts_.llm->hear(event, parts_.recorder);
  }

  // Answers of language models that have come since the last look.
  Result<void> take_answers() {
    while (parts_.llm != nullptr) {
      COPPICE_TRY(std::optional<LlmReplied> reply, parts_.llm->answer(parts_.recorder));
      if (!reply) {
        return {};
      }
      idle_lanes_.clear();
      COPPICE_TRY_VOID(record(*std::move(reply)));
    }
    return {};
  }

  // Of all that is under way, what ends first by its recorded cost; ties: results before answers,
  // then by id.
  Result<void> take_first_recorded() {
    COPPICE_TRY_VOID(parts_.recorder.commit());  // sends the questions
    while (held_.size() < in_flight_.size() || (answers_due() && !parts_.llm->complete())) {
      if (auto result = pool_.next(kGroupAge)) {
        if (!result->evidence.ok()) {
          return result->evidence.error();
        }
        const AttemptId attempt = result->attempt;
        held_.emplace(attempt, std::move(*result->evidence));
      }
    }
    auto first = held_.end();
    for (auto it = held_.begin(); it != held_.end(); ++it) {
      first = first == held_.end() || end_of(*it) < end_of(*first) ? it : first;
    }
    const auto answer = answers_due() ? parts_.llm->next_end() : std::nullopt;
    if (first != held_.end() && (!answer || end_of(*first) <= *answer)) {
      advance(end_of(*first));
      Evidence evidence = std::move(first->second);
      held_.erase(first);
      return finished(std::move(evidence));
    }
    advance(answer.value_or(recorded_now_));
    COPPICE_TRY(std::optional<LlmReplied> reply, parts_.llm->answer(parts_.recorder));
    idle_lanes_.clear();
    return reply ? record(*std::move(reply)) : Result<void>();
  }

  Nanoseconds end_of(const std::pair<const AttemptId, Evidence>& held) const {
    const Cost& cost = held.second.cost;
    return in_flight_.at(held.first).began + cost.compile + cost.device;
  }

  void advance(Nanoseconds to) {
    recorded_now_ = std::max(recorded_now_, to);
    if (parts_.llm != nullptr) {
      parts_.llm->set_recorded_time(recorded_now_);
    }
  }

  // Only a model's answer can bring work.
  Result<void> wait_for_answer() {
    COPPICE_TRY_VOID(parts_.recorder.commit());
    parts_.observer.waiting(elapsed(), view());
    static_cast<void>(pool_.next(kWait));  // nothing is in flight: this only waits
    const Nanoseconds before = last_tick_;
    COPPICE_TRY_VOID(tick(kTickWaiting));
    if (last_tick_ != before) {
      idle_lanes_.clear();
    }
    return {};
  }

  Result<void> hand_out_work() {
    // A lane that was idle may ask again after each result: its answer can only change then.
    for (const int lane : std::set<int>(free_lanes_)) {
      if (stopped_ || turn_over() || idle_lanes_.count(lane) != 0) {
        continue;
      }
      COPPICE_TRY_VOID(tick(kTickBeforeWork));
      if (stopped_) {
        break;
      }
      const std::size_t before = in_flight_.size() + refused_;
      COPPICE_TRY_VOID(record(WorkRequested{lane}));
      if (in_flight_.size() + refused_ == before) {
        idle_lanes_.insert(lane);
      }
    }
    return parts_.recorder.commit_if_due();
  }

  // Nothing in flight and every lane idle: the engine owes us a Stopped. Time may be what it waits
  // for; a second silence ends the run instead of spinning.
  Result<void> unstick() {
    if (idle_lanes_.size() < free_lanes_.size()) {
      return parts_.recorder.commit_if_due();
    }
    idle_lanes_.clear();
    COPPICE_TRY_VOID(tick(Nanoseconds{1}));
    if (!stopped_ && ++silences_ > 2) {
      COPPICE_TRY_VOID(record(StopRequested{"the search has nothing left to try"}));
    }
    if (!stopped_ && silences_ > 4) {
      return Error{ErrorCode::io, "the search neither proposes nor stops"};
    }
    return {};
  }

  Result<void> dispatch(const Proposed& proposal) {
    silences_ = 0;
    COPPICE_TRY(Prepared prepared, parts_.prepare(proposal));
    COPPICE_TRY(const Digest source, parts_.recorder.keep(prepared.candidate.source));
    COPPICE_TRY(const Digest plan, parts_.recorder.keep(to_json(prepared.candidate.plan).dump()));
    free_lanes_.erase(proposal.lane);
    in_flight_[proposal.attempt] = Flight{proposal, source, plan, recorded_now_};
    if (proposal.fidelity == Fidelity::promote) {
      COPPICE_TRY_VOID(parts_.recorder.commit());  // a promotion is an external effect
    }
    parts_.recorder.after_commit([parts = &parts_, proposal] {
      parts->observer.proposed(proposal, parts->recorder.engine().view());
    });
    if (prepared.refused) {
      ++refused_;
      Evidence evidence;
      evidence.attempt = proposal.attempt;
      evidence.candidate = proposal.candidate;
      evidence.fidelity = proposal.fidelity;
      evidence.precision = prepared.candidate.precision;
      evidence.verdict = *prepared.refused;
      return finished(std::move(evidence));
    }
    pool_.submit(task_of(proposal, std::move(prepared.candidate)));
    return {};
  }

  evaluators::EvaluationTask task_of(const Proposed& proposal, Candidate candidate) const {
    evaluators::EvaluationTask task;
    task.attempt = proposal.attempt;
    task.candidate = std::move(candidate);
    task.fidelity = proposal.fidelity;
    const bool early_stop = proposal.fidelity == Fidelity::search && view().best.has_value();
    task.best_log_cost =
        early_stop ? view().best_log_cost : std::numeric_limits<double>::infinity();
    task.secret_seed = mix64(parts_.secret ^ mix64(proposal.attempt.value));
    return task;
  }

  Result<void> wait_for_result() {
    // Results that come in quick succession share a commit.
    std::optional<Finished> result = pool_.next(kGroupAge);
    if (!result) {
      COPPICE_TRY_VOID(parts_.recorder.commit());  // before we go to sleep
      parts_.observer.waiting(elapsed(), view());
      result = pool_.next(kWait);
    }
    if (!result) {
      return tick(kTickWaiting);
    }
    if (result->lost) {
      parts_.observer.lost(*result->lost, result->evidence.error().message);
      return {};
    }
    if (!result->evidence.ok()) {
      COPPICE_TRY_VOID(parts_.recorder.commit());
      return result->evidence.error();
    }
    COPPICE_TRY_VOID(finished(std::move(*result->evidence)));
    return parts_.recorder.commit_if_due();
  }

  Result<void> finished(Evidence evidence) {
    const auto flight = in_flight_.find(evidence.attempt);
    COPPICE_CHECK(flight != in_flight_.end());
    evidence.artifacts.set("source", flight->second.source.hex());
    evidence.artifacts.set("plan", flight->second.plan.hex());
    free_lanes_.insert(flight->second.proposal.lane);
    in_flight_.erase(flight);
    idle_lanes_.clear();
    parts_.recorder.after_commit([parts = &parts_, evidence] {
      parts->observer.evaluated(evidence, parts->recorder.engine().view());
    });
    return record(Evaluated{std::move(evidence)});
  }

  Result<RunEnd> finish(bool unfinished) {
    if (unfinished) {
      COPPICE_TRY_VOID(tick(Nanoseconds{1}));
    }
    const bool interrupted = unfinished && parts_.interrupts() > 0;
    COPPICE_TRY_VOID(parts_.recorder.commit());
    COPPICE_TRY_VOID(end_questions());
    RunEnd end;
    end.interrupted = interrupted && !stopped_;
    end.turn_over = unfinished && !interrupted && !stopped_;
    end.stopped = stopped_;
    end.elapsed = elapsed();
    return end;
  }

  // What is under way is given up; what it cost is still recorded.
  Result<void> end_questions() {
    if (parts_.llm != nullptr) {
      parts_.llm->stop();
    }
    while (parts_.llm != nullptr && parts_.llm->waiting()) {
      COPPICE_TRY_VOID(take_answers());
      static_cast<void>(pool_.next(kGroupAge));
    }
    return parts_.recorder.commit();
  }

  struct Flight {
    Proposed proposal;
    Digest source, plan;
    Nanoseconds began{};  // recorded time
  };

  const RunLoop& parts_;
  EvaluationPool pool_;
  const Nanoseconds started_;
  Nanoseconds last_tick_;
  std::set<int> free_lanes_;
  std::set<int> idle_lanes_;  // asked, and had nothing to do since the last result
  std::map<AttemptId, Flight> in_flight_;
  std::map<AttemptId, Evidence> held_;  // came, and waits for its turn in recorded order
  Nanoseconds recorded_now_{};
  std::optional<Stopped> stopped_;
  std::size_t refused_ = 0;
  const std::int64_t attempts_before_;
  bool turn_over_ = false;
  int silences_ = 0;
};

}  // namespace

Result<RunEnd> run_loop(const RunLoop& parts) {
  Loop loop(parts);
  return loop.run();
}

}  // namespace coppice::cli
