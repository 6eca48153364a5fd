// Brings an engine to the end of a log.
#include "cli/replayed_engine.h"

#include "cli/replay.h"

namespace coppice::cli {

Result<search::Engine> replayed_engine(const RunReader& run, Executor& executor) {
  if (run.material().decision_version != search::kDecisionVersion) {
    return Error{ErrorCode::environment,
                 "run " + run.name() + " was decided by version " +
                     std::to_string(run.material().decision_version) +
                     "; this program decides as version " +
                     std::to_string(search::kDecisionVersion) + " and can only list it"};
  }
  COPPICE_TRY(search::Engine engine,
              search::Engine::create(engine_setup(run.material()), executor));
  const Result<Replayed> replayed = replay_log(run.log(), engine);
  if (!replayed.ok()) {
    return replayed.error().within("run " + run.name());
  }
  return engine;
}

}  // namespace coppice::cli
