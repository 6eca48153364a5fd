// run_loop: connects engine, evaluator and log until the search stops or the user interrupts it.
#pragma once

#include "archive/experiment_log.h"
#include "cli/evaluation_pool.h"
#include "cli/llm_desk.h"
#include "cli/run_recorder.h"
#include "core/clock.h"
#include "search/engine.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace coppice::cli {

// A proposal as code. `refused` says why there is none (a rule of the target, a plan without
// numbers): evidence, not an error.
struct Prepared {
  Candidate candidate;
  std::optional<Verdict> refused;
};

// Hears of the run, on its main thread, and only of what is durable.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void proposed(const Proposed& proposal, const search::EngineView& view) = 0;
  virtual void evaluated(const Evidence& evidence, const search::EngineView& view) = 0;
  // A device dropped out; the others go on.
  virtual void lost(int device, const std::string& why) = 0;
  // About ten times a second; for what moves by itself (elapsed time, ETA).
  virtual void waiting(Nanoseconds elapsed, const search::EngineView& view) = 0;
};

// How much of the search belongs to this call; 0 = no limit. What is in flight is finished.
struct Turn {
  std::int64_t attempts = 0;
  Nanoseconds seconds{};
};

struct RunLoop {
  RunRecorder& recorder;
  evaluators::Evaluator& evaluator;
  std::function<Result<Prepared>(const Proposed&)> prepare;
  const Clock& clock;
  RunObserver& observer;
  // How often the user asked to stop: 1 finishes what is in flight, 2 stops at once.
  std::function<int()> interrupts;

  PoolOptions pool;
  Nanoseconds elapsed_before{};  // of earlier sessions
  std::uint64_t secret = 0;      // values of this session's tests are drawn from it
  LlmDesk* llm = nullptr;        // where a language model is asked
  Turn turn = {};
  // Evidence comes from records: results and answers are taken in the order in which their recorded
  // costs end, so that the number of threads never matters.
  bool recorded_order = false;
};

struct RunEnd {
  bool interrupted = false;  // resumable; otherwise the engine said Stopped, or
  bool turn_over = false;    // the turn is over: the search can go on
  std::optional<Stopped> stopped;
  Nanoseconds elapsed{};  // over all sessions
};

// Returns when the engine has stopped and nothing is in flight, or after an interruption. What the
// evaluator or the disk can't go on with is an Error; the log then holds all that was committed.
Result<RunEnd> run_loop(const RunLoop& parts);

}  // namespace coppice::cli
