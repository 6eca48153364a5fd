// Engine: the deterministic state machine of the search; events in, decisions out, nothing else.
#pragma once

#include "core/event.h"
#include "core/executor.h"
#include "core/op.h"
#include "core/result.h"
#include "search/search_config.h"

#include <memory>
#include <string>
#include <vector>

namespace coppice::search {

// Moves only with a change of decisions, named in the commit. Within 5 the decisions of runs with a
// language model have changed once, when its kernels became templates; those of all others have
// not.
inline constexpr int kDecisionVersion = 5;

// No clock, thread, file or device inside. Used by one thread. The same setup and inputs give the
// same decisions on every machine. `executor` may speed parallel loops up and never changes a
// result.
class Engine {
 public:
  static Result<Engine> create(EngineSetup setup, Executor& executor);
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  // Work for a free lane: Proposed, Idle or Stopped, preceded by the edits that led to it.
  std::vector<Event> propose(int lane);
  // Takes an input (Evaluated, Tick, StopRequested, Resumed, LlmReplied, BaselineFrozen) and
  // returns the decisions that follow from it. An Evaluated for an unknown or finished attempt is
  // ignored.
  std::vector<Event> observe(const Event& input);
  // Dispatches on kind: WorkRequested goes to propose(). What replay uses.
  std::vector<Event> handle(const Event& input);

  // Takes the next event of a recorded run, input or decision, and decides nothing: brings the
  // view to where it stood for the cost of learning alone. Then only follow() and view() may be
  // called. Error corrupt: an event that this setup can't have led to.
  Result<void> follow(const Event& event);

  // Nothing is asked of it for a while: gives memory back and changes no decision.
  void rest();

  // Read-only views for progress lines and reports.
  const EngineView& view() const;

  struct State;  // opaque; named by the view

 private:
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coppice::search
