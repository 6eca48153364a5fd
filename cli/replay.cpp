// Compares recorded decisions with those of a fresh engine.
#include "cli/replay.h"

#include <algorithm>
#include <deque>

namespace coppice::cli {
namespace {

// Follows what the log says happened, decisions and inputs alike.
void follow(RunState& state, const Event& event) {
  if (const auto* tick = std::get_if<Tick>(&event)) {
    state.elapsed = tick->elapsed;
  } else if (const auto* proposed = std::get_if<Proposed>(&event)) {
    state.in_flight.push_back(proposed->attempt);
  } else if (const auto* evaluated = std::get_if<Evaluated>(&event)) {
    std::erase(state.in_flight, evaluated->evidence.attempt);
  } else if (const auto* resumed = std::get_if<Resumed>(&event)) {
    for (const AttemptId lost : resumed->lost) {
      std::erase(state.in_flight, lost);
    }
    state.stopped.reset();
  } else if (const auto* frozen = std::get_if<BaselineFrozen>(&event)) {
    state.baselines.push_back(*frozen);
  } else if (const auto* stopped = std::get_if<Stopped>(&event)) {
    state.stopped = *stopped;
  } else if (const auto* allocated = std::get_if<Allocated>(&event)) {
    state.open_turn = *allocated;
  } else if (std::holds_alternative<SliceEnded>(event)) {
    state.open_turn.reset();
  }
}

class Comparison {
 public:
  explicit Comparison(const Decider& decider) : decider_(decider) {}

  Result<bool> take(const archive::LogRow& row) {
    Result<Event> event = decode(row.bytes);
    if (!event.ok()) {
      return Error{ErrorCode::corrupt,
                   "event " + std::to_string(row.seq.value) + ": " + event.error().message};
    }
    follow(report_.state, *event);
    if (std::holds_alternative<Allocated>(*event)) {
      report_.state.open_turn_written = row.written;
    }
    report_.state.events = row.seq.value;
    if (!is_input(*event)) {
      ++report_.decisions;
      if (!report_.first_mismatch) {
        compare(row);
      }
    } else if (!std::holds_alternative<RunStarted>(*event) && !report_.first_mismatch) {
      nothing_missing(row.seq);
      if (!report_.first_mismatch) {
        decide(*event);
      }
    }
    return true;
  }

  Replayed end() {
    if (!report_.first_mismatch) {
      nothing_missing(EventSeq{report_.state.events + 1});
    }
    return report_;
  }

 private:
  void decide(const Event& input) {
    for (const Event& decision : decider_(input)) {
      expected_.push_back(encode(decision));
    }
  }

  void compare(const archive::LogRow& row) {
    const std::string decided = expected_.empty() ? std::string() : expected_.front();
    if (decided != row.bytes) {
      report_.first_mismatch = Mismatch{row.seq, row.bytes, decided};
      return;
    }
    expected_.pop_front();
    ++report_.matched;
  }

  // At the next input, every decision about the one before must have been in the log.
  void nothing_missing(EventSeq seq) {
    if (!expected_.empty()) {
      report_.first_mismatch = Mismatch{seq, std::string(), expected_.front()};
    }
  }

  const Decider& decider_;
  std::deque<std::string> expected_;
  Replayed report_;
};

}  // namespace

Result<Replayed> replay_log(const archive::ExperimentLog& log, search::Engine& engine) {
  return replay_log(log, [&](const Event& input) { return engine.handle(input); });
}

Result<Replayed> replay_log(const archive::ExperimentLog& log, const Decider& decider) {
  Comparison comparison(decider);
  COPPICE_TRY_VOID(
      log.visit(EventSeq{1}, [&](const archive::LogRow& row) { return comparison.take(row); }));
  return comparison.end();
}

Json to_json(const Replayed& replayed) {
  Json out = Json::object();
  out.set("schema", 1);
  out.set("decisions", replayed.decisions).set("matched", replayed.matched);
  if (const auto& mismatch = replayed.first_mismatch) {
    Json where = Json::object();
    where.set("seq", mismatch->seq.value);
    where.set("recorded", mismatch->recorded).set("decided", mismatch->decided);
    out.set("first_mismatch", std::move(where));
  } else {
    out.set("first_mismatch", Json());
  }
  return out;
}

}  // namespace coppice::cli
