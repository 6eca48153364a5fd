// Shared runs: several tasks, one budget, one archive; begins such a run or goes on with one.
#pragma once

#include "cli/run_session.h"
#include "cli/shared_material.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace coppice::cli {

// The world around a shared run. What is referred to outlives it.
struct SharedWorld {
  const Clock& clock;
  Executor& executor;
  Console& console;
  std::function<int()> interrupts;
  std::function<Result<std::unique_ptr<evaluators::Evaluator>>(const RunMaterial&)> open_evaluator;
  // Evaluators that stay open between the turns of their tasks; the one used longest ago goes.
  std::size_t most_evaluators = 4;
};

struct SharedEnd {
  std::string run;
  bool interrupted = false;  // resumable
  std::optional<Stopped> stopped;
};

// The run's log holds the decisions about turns; each task's log is that of an ordinary run, which
// can be shown, replayed and exported by itself as "<run>/<task>".
Result<SharedEnd> start_shared(const archive::RunStore& store,
                               const std::string& base,
                               SharedMaterial material,
                               const SharedWorld& world);

// Replays the log first. A turn that was under way is closed with what its task's log holds.
Result<SharedEnd> resume_shared(const archive::RunStore& store,
                                archive::ExperimentLog log,
                                const SharedMaterial& material,
                                const SharedWorld& world);

}  // namespace coppice::cli
