// RunSession: begins a run or goes on with one, and searches until it ends or is interrupted.
#pragma once

#include "archive/run_store.h"
#include "cli/console.h"
#include "cli/run_loop.h"
#include "cli/run_material.h"
#include "core/executor.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace coppice::cli {

// The world around a session. What is referred to outlives it.
struct SessionWorld {
  evaluators::Evaluator& evaluator;
  const Clock& clock;
  Executor& executor;
  Console& console;
  std::function<int()> interrupts;
  std::string prefix;                                 // of progress lines
  std::shared_ptr<llm::Cassette> cassette = nullptr;  // recorded answers of language models
  llm::Environment environment = llm::process_environment;
  bool recorded_order = false;  // evidence comes from records (cli/run_loop.h)
};

struct SessionResult {
  std::string run;
  RunEnd end;
  std::vector<BaselineFrozen> baselines;
};

// `frozen`: baselines of this machine and suite that another run of this process has frozen
// already; empty: freeze them now.
Result<SessionResult> start_run(const archive::RunStore& store,
                                const std::string& base,
                                const RunMaterial& material,
                                const std::vector<BaselineFrozen>& frozen,
                                const SessionWorld& world);

// Replays the log into a fresh engine first; a log that this engine would have decided otherwise is
// refused. Attempts that were in flight are tried again.
Result<SessionResult> resume_run(archive::ExperimentLog log,
                                 const RunMaterial& material,
                                 const SessionWorld& world);

}  // namespace coppice::cli
