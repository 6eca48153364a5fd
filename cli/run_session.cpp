// Begins and resumes runs.
#include "cli/run_session.h"

#include "cli/open_run.h"
#include "cli/words.h"

namespace coppice::cli {
namespace {

Nanoseconds wall_now() {
  return std::chrono::duration_cast<Nanoseconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

void tell_baselines(const std::vector<BaselineFrozen>& frozen, const SessionWorld& world) {
  for (const BaselineFrozen& baseline : frozen) {
    if (baseline.chosen) {
      world.console.say(world.prefix + "baseline of " + baseline.workload + ": " + baseline.name +
                        ", " + time_text(baseline.median));
    }
  }
}

Result<SessionResult> search_to_the_end(OpenRun& open, const SessionWorld& world) {
  Result<RunEnd> end = open.search(world);
  if (!end.ok()) {
    return Error{end.error().code,
                 end.error().message + "; what was measured is kept, go on with: coppice resume " +
                     open.run()};
  }
  COPPICE_TRY_VOID(open.close());
  return SessionResult{open.run(), *end, open.baselines()};
}

}  // namespace

Result<SessionResult> start_run(const archive::RunStore& store,
                                const std::string& base,
                                const RunMaterial& material,
                                const std::vector<BaselineFrozen>& frozen,
                                const SessionWorld& world) {
  // What can't be searched gets no folder.
  COPPICE_TRY_VOID(search::Engine::create(engine_setup(material), world.executor));
  COPPICE_TRY(const std::string run, store.create_run(archive::run_name_base(base), wall_now()));
  COPPICE_TRY(archive::ExperimentLog log,
              store.open_run(run, archive::ExperimentLog::Mode::create));
  world.console.say(world.prefix + "run " + run + " (kept in " + store.directory() + ")");
  COPPICE_TRY(const auto open, OpenRun::begin(std::move(log), run, material, frozen, world));
  if (frozen.empty()) {
    tell_baselines(open->baselines(), world);
  }
  return search_to_the_end(*open, world);
}

Result<SessionResult> resume_run(archive::ExperimentLog log,
                                 const RunMaterial& material,
                                 const SessionWorld& world) {
  COPPICE_TRY(const auto open, OpenRun::go_on(std::move(log), material, world));
  world.console.say("run " + material.run + " goes on after " + duration_text(open->elapsed()) +
                    (open->lost() == 0 ? ""
                                       : "; attempts in flight then are tried again: " +
                                             std::to_string(open->lost())));
  return search_to_the_end(*open, world);
}

}  // namespace coppice::cli
