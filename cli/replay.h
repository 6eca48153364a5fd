// replay_log: feeds a log's inputs to a fresh engine and compares its decisions byte for byte.
#pragma once

#include "archive/experiment_log.h"
#include "core/json.h"
#include "search/engine.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace coppice::cli {

struct Mismatch {
  EventSeq seq;          // where the log has another decision, or ends too early
  std::string recorded;  // bytes in the log; empty: the log has none
  std::string decided;   // bytes that this engine gives; empty: it decides nothing here
};

// What a run had come to at the end of its log.
struct RunState {
  std::uint64_t events = 0;
  std::vector<AttemptId> in_flight;
  std::vector<BaselineFrozen> baselines;
  std::optional<Stopped> stopped;  // by its last session
  Nanoseconds elapsed{};
  std::optional<Allocated> open_turn;  // of a run that is made of tasks: one that has not ended
  Nanoseconds open_turn_written{};     // wall clock
};

struct Replayed {
  std::uint64_t decisions = 0;  // in the log
  std::uint64_t matched = 0;
  std::optional<Mismatch> first_mismatch;
  RunState state;

  bool same() const { return !first_mismatch && matched == decisions; }
};

// Stops at the first mismatch: after it, nothing that follows could be compared fairly.
Result<Replayed> replay_log(const archive::ExperimentLog& log, search::Engine& engine);
// The same with whoever decides.
using Decider = std::function<std::vector<Event>(const Event& input)>;
Result<Replayed> replay_log(const archive::ExperimentLog& log, const Decider& decider);

Json to_json(const Replayed& replayed);

}  // namespace coppice::cli
