// OpenRun: a run whose log is open for writing, with its engine brought to the log's end.
#pragma once

#include "cli/progress.h"
#include "cli/run_session.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coppice::cli {

// Used by one thread. `material` and what the world refers to outlive it; the evaluator may differ
// from call to call.
class OpenRun {
 public:
  // A run that begins: its folder holds no event yet. `frozen` as start_run() says.
  static Result<std::unique_ptr<OpenRun>> begin(archive::ExperimentLog log,
                                                const std::string& run,
                                                const RunMaterial& material,
                                                const std::vector<BaselineFrozen>& frozen,
                                                const SessionWorld& world);
  // A run that goes on: its log is replayed first, and one that this program would have decided
  // otherwise is refused. Attempts that were in flight are tried again.
  static Result<std::unique_ptr<OpenRun>> go_on(archive::ExperimentLog log,
                                                const RunMaterial& material,
                                                const SessionWorld& world);

  // Searches until the run ends, its turn is over, or the user interrupts it.
  Result<RunEnd> search(const SessionWorld& world, Turn turn = {});
  // The budget that it shares is spent: what is left are its finalists.
  Result<void> spend(StopReason reason, const std::string& message);
  // After an error of the evaluator: what was in flight is lost, and is tried again.
  Result<void> give_up_flights();
  // A new evaluator takes over what was frozen at the beginning.
  Result<void> adopt(const SessionWorld& world) const;
  // It waits for its next turn.
  void rest();
  Result<void> close();

  const std::string& run() const { return run_; }
  const search::EngineView& view() const { return engine_.view(); }
  const archive::ExperimentLog& log() const { return log_; }
  const std::vector<BaselineFrozen>& baselines() const { return baselines_; }
  Nanoseconds elapsed() const { return elapsed_; }
  std::size_t lost() const { return lost_; }  // attempts in flight when the run went on

 private:
  OpenRun(archive::ExperimentLog log,
          search::Engine engine,
          const RunMaterial& material,
          const Clock& clock);
  Result<void> freeze(const std::vector<BaselineFrozen>& known, const SessionWorld& world);
  Result<Prepared> prepare(const Proposed& proposal) const;

  archive::ExperimentLog log_;
  search::Engine engine_;
  const RunMaterial& material_;
  RunRecorder recorder_;
  std::string run_;
  std::unique_ptr<LlmDesk> desk_;
  std::unique_ptr<Progress> progress_;
  std::vector<BaselineFrozen> baselines_;
  Nanoseconds elapsed_{};
  std::size_t lost_ = 0;
};

}  // namespace coppice::cli
