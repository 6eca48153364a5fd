// Begins and resumes runs.
#include "cli/run_session.h"

#include "cli/progress.h"
#include "cli/replay.h"
#include "cli/words.h"

#include <sys/random.h>

#include <algorithm>
#include <filesystem>
#include <thread>

namespace coppice::cli {
namespace {

Nanoseconds wall_now() {
  return std::chrono::duration_cast<Nanoseconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

// Test values are drawn from it; no candidate can know it, and no decision reads it.
Result<std::uint64_t> session_secret() {
  std::uint64_t secret = 0;
  if (::getrandom(&secret, sizeof secret, 0) != static_cast<ssize_t>(sizeof secret)) {
    return Error{ErrorCode::environment, "the system gives no random numbers"};
  }
  return secret;
}

PoolOptions pool_options(const RunMaterial& material) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  PoolOptions pool;
  pool.lanes = material.config.search.lanes;
  pool.devices = material.config.devices;
  const int jobs = material.config.compile_jobs;
  pool.compile_jobs = std::min(pool.lanes, jobs > 0 ? jobs : std::max(1, cores - 1));
  pool.exclusive_timing = material.target.backend == "cpu" && cores <= 2;
  return pool;
}

// A stop token that follows the second Ctrl-C while the main thread waits for something long.
class StopOnInterrupt {
 public:
  explicit StopOnInterrupt(const std::function<int()>& interrupts)
      : watcher_([this, &interrupts](std::stop_token done) {
          while (!done.stop_requested()) {
            if (interrupts() > 0) {
              source_.request_stop();
              return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
          }
        }) {}
  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::jthread watcher_;
};

Error interrupted(const std::string& run) {
  return Error{ErrorCode::interrupted, "interrupted; go on with: coppice resume " + run};
}

// What is known before the loop begins.
struct Start {
  std::string run;
  Nanoseconds elapsed{};
  std::vector<BaselineFrozen> baselines;
  LlmDesk* llm = nullptr;
};

Result<std::vector<BaselineFrozen>> freeze(RunRecorder& recorder,
                                           const std::vector<BaselineFrozen>& known,
                                           const SessionWorld& world,
                                           const std::string& run) {
  const StopOnInterrupt stop(world.interrupts);
  std::vector<BaselineFrozen> frozen = known;
  if (known.empty()) {
    world.console.show_progress(world.prefix + "timing the library baselines");
    Result<std::vector<BaselineFrozen>> timed = world.evaluator.freeze_baselines(stop.token());
    if (world.interrupts() > 0) {
      return interrupted(run);
    }
    COPPICE_TRY(frozen, std::move(timed).within("freeze the baselines"));
  } else {
    COPPICE_TRY_VOID(
        world.evaluator.adopt_baselines(known, stop.token()).within("adopt baselines"));
  }
  for (const BaselineFrozen& baseline : frozen) {
    const auto decisions = recorder.step(baseline);
    if (!decisions.ok()) {
      return decisions.error();
    }
  }
  COPPICE_TRY_VOID(recorder.commit());
  return frozen;
}

void tell_baselines(const std::vector<BaselineFrozen>& frozen, const SessionWorld& world) {
  for (const BaselineFrozen& baseline : frozen) {
    if (baseline.chosen) {
      world.console.say(world.prefix + "baseline of " + baseline.workload + ": " + baseline.name +
                        ", " + time_text(baseline.median));
    }
  }
}

Result<SessionResult> search(RunRecorder& recorder,
                             const RunMaterial& material,
                             const Start& start,
                             const SessionWorld& world) {
  COPPICE_TRY(const std::uint64_t secret, session_secret());
  const bool against_baseline = std::ranges::any_of(start.baselines, &BaselineFrozen::chosen);
  Progress progress(world.console,
                    world.clock,
                    {material.config.search.budget, world.prefix, against_baseline},
                    Disagreement(material));
  const auto prepare = [&](const Proposed& proposal) -> Result<Prepared> {
    Prepared prepared;
    Result<Candidate> candidate = candidate_of(material, proposal.candidate, proposal.spec);
    if (candidate.ok()) {
      prepared.candidate = std::move(*candidate);
    } else {
      prepared.candidate.id = proposal.candidate;
      prepared.refused =
          Verdict{false, Gate::resources, FailureClass::plan_invalid, candidate.error().message};
    }
    return prepared;
  };
  const RunLoop parts{recorder,
                      world.evaluator,
                      prepare,
                      world.clock,
                      progress,
                      world.interrupts,
                      pool_options(material),
                      start.elapsed,
                      secret,
                      start.llm,
                      world.recorded_order};
  Result<RunEnd> end = run_loop(parts);
  world.console.clear_progress();
  if (!end.ok()) {
    return Error{end.error().code,
                 end.error().message + "; what was measured is kept, go on with: coppice resume " +
                     start.run};
  }
  return SessionResult{start.run, *end, start.baselines};
}

// What earlier sessions of a run paid for its language models.
Result<llm::Spent> spent_on_models(const archive::ExperimentLog& log) {
  llm::Spent spent;
  COPPICE_TRY_VOID(log.visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
    COPPICE_TRY(const Event event, decode(row.bytes));
    if (const auto* replied = std::get_if<LlmReplied>(&event)) {
      ++spent.requests;
      spent.in += replied->tokens_in;
      spent.out += replied->tokens_out;
      spent.cached += replied->tokens_cached;
      spent.money = spent.money + llm::Money::of_dollars(replied->cost.money);
      spent.time += replied->cost.llm;
    }
    return true;
  }));
  return spent;
}

// Null where the run asks no model.
Result<std::unique_ptr<LlmDesk>> open_desk(const archive::ExperimentLog& log,
                                           const RunMaterial& material,
                                           const SessionWorld& world) {
  if (!material.llm) {
    return std::unique_ptr<LlmDesk>();
  }
  COPPICE_TRY(const llm::Spent spent, spent_on_models(log));
  COPPICE_TRY(llm::PromptSet prompts, prompts_of(log, material));
  COPPICE_TRY(
      auto desk,
      LlmDesk::open(
          {material, world.clock, spent, world.cassette, world.environment, std::move(prompts)}));
  COPPICE_TRY_VOID(log.visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
    COPPICE_TRY(const Event event, decode(row.bytes));
    desk->remember(event);
    return true;
  }));
  return desk;
}

}  // namespace

Result<SessionResult> start_run(const archive::RunStore& store,
                                const std::string& base,
                                const RunMaterial& material,
                                const std::vector<BaselineFrozen>& frozen,
                                const SessionWorld& world) {
  COPPICE_TRY(search::Engine engine,
              search::Engine::create(engine_setup(material), world.executor));
  COPPICE_TRY(const std::string run, store.create_run(archive::run_name_base(base), wall_now()));
  COPPICE_TRY(archive::ExperimentLog log,
              store.open_run(run, archive::ExperimentLog::Mode::create));
  COPPICE_TRY_VOID(cli::store(log, material, run, world.evaluator.environment()));
  COPPICE_TRY(const auto desk, open_desk(log, material, world));
  RunRecorder recorder(engine, log, world.clock);
  COPPICE_TRY_VOID(log.commit());
  world.console.say(world.prefix + "run " + run + " (kept in " + store.directory() + ")");
  Start start{run, Nanoseconds{0}, {}, desk.get()};
  COPPICE_TRY(start.baselines, freeze(recorder, frozen, world, run));
  if (frozen.empty()) {
    tell_baselines(start.baselines, world);
  }
  COPPICE_TRY(SessionResult result, search(recorder, material, start, world));
  COPPICE_TRY_VOID(log.close());
  return result;
}

Result<SessionResult> resume_run(archive::ExperimentLog log,
                                 const RunMaterial& material,
                                 const SessionWorld& world) {
  if (material.decision_version != search::kDecisionVersion) {
    return Error{ErrorCode::environment,
                 "run " + material.run + " was decided by version " +
                     std::to_string(material.decision_version) +
                     ", this program decides as version " +
                     std::to_string(search::kDecisionVersion)};
  }
  COPPICE_TRY(search::Engine engine,
              search::Engine::create(engine_setup(material), world.executor));
  COPPICE_TRY(const Replayed replayed, replay_log(log, engine));
  if (!replayed.same()) {
    return Error{ErrorCode::corrupt,
                 "run " + material.run + " can't go on: at event " +
                     std::to_string(replayed.first_mismatch->seq.value) +
                     " the log has another decision than this program"};
  }
  if (replayed.state.stopped) {
    return Error{ErrorCode::usage,
                 "run " + material.run + " has ended (" + replayed.state.stopped->message +
                     "); there is nothing to resume"};
  }
  COPPICE_TRY(const auto desk, open_desk(log, material, world));
  RunRecorder recorder(engine, log, world.clock);
  Start start{material.run, replayed.state.elapsed, replayed.state.baselines, desk.get()};
  const bool frozen_before = !start.baselines.empty();
  COPPICE_TRY(
      const auto decisions,
      recorder.step(Resumed{replayed.state.in_flight, world.evaluator.environment().dump()}));
  COPPICE_TRY_VOID(recorder.commit());
  static_cast<void>(decisions);
  if (frozen_before) {
    const StopOnInterrupt stop(world.interrupts);
    COPPICE_TRY_VOID(world.evaluator.adopt_baselines(start.baselines, stop.token()));
  } else {
    COPPICE_TRY(start.baselines, freeze(recorder, {}, world, material.run));
  }
  world.console.say("run " + material.run + " goes on after " + duration_text(start.elapsed) +
                    (replayed.state.in_flight.empty()
                         ? ""
                         : "; attempts in flight then are tried again: " +
                               std::to_string(replayed.state.in_flight.size())));
  COPPICE_TRY(SessionResult result, search(recorder, material, start, world));
  COPPICE_TRY_VOID(log.close());
  return result;
}

}  // namespace coppice::cli
