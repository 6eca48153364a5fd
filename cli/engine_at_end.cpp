// Brings an engine to the end of a log.
#include "cli/engine_at_end.h"

namespace coppice::cli {

Result<search::Engine> engine_at_end(const RunReader& run, Executor& executor, Console& console) {
  if (const int version = run.material().decision_version; version != search::kDecisionVersion) {
    console.say("run " + run.name() + " was decided by version " + std::to_string(version) +
                "; expected gains are what version " + std::to_string(search::kDecisionVersion) +
                " makes of its results");
  }
  COPPICE_TRY(search::Engine engine,
              search::Engine::create(engine_setup(run.material()), executor));
  const auto followed =
      run.log().visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
        const auto context = [&] {
          return "event " + std::to_string(row.seq.value);
        };
        COPPICE_TRY(const Event event, decode(row.bytes).within(context()));
        COPPICE_TRY_VOID(engine.follow(event).within(context()));
        return true;
      });
  if (!followed.ok()) {
    return followed.error().within("run " + run.name());
  }
  return engine;
}

}  // namespace coppice::cli
