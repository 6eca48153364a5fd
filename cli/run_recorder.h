// RunRecorder: the one writer; every input goes into the log before its decisions, and both before
// anybody hears of them.
#pragma once

#include "archive/experiment_log.h"
#include "core/clock.h"
#include "search/engine.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace coppice::cli {

// Owned by the run's main thread. An input and the decisions that follow from it always lie in one
// commit, so that a torn run ends between two steps.
class RunRecorder {
 public:
  RunRecorder(search::Engine& engine, archive::ExperimentLog& log, const Clock& clock)
      : engine_(engine), log_(log), clock_(clock), oldest_(clock.now()) {}

  // Appends the input, lets the engine decide, appends the decisions.
  Result<std::vector<Event>> step(const Event& input);
  // An event that the engine does not hear (RunStarted).
  Result<void> note(const Event& event);
  Result<Digest> keep(const std::string& text);  // a blob

  // Called after the next successful commit: what may be told to the user then.
  void after_commit(std::function<void()> acknowledge);
  Result<void> commit();
  // Commits when the group is old or large enough to be worth an fsync.
  Result<void> commit_if_due();

  search::Engine& engine() { return engine_; }
  // Attempts that were proposed through this recorder and have no result yet.
  const std::set<AttemptId>& in_flight() const { return in_flight_; }

 private:
  Result<void> append(const Event& event);
  void follow(const Event& event);

  search::Engine& engine_;
  archive::ExperimentLog& log_;
  const Clock& clock_;
  std::vector<std::function<void()>> acknowledgements_;
  std::set<AttemptId> in_flight_;
  std::size_t pending_ = 0;
  Nanoseconds oldest_{};
};

}  // namespace coppice::cli
