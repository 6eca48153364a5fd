// Opens runs for writing and searches in them.
#include "cli/open_run.h"

#include "cli/replay.h"
#include "cli/words.h"

#include <malloc.h>
#include <sys/random.h>

#include <algorithm>
#include <thread>
#include <utility>

namespace coppice::cli {
namespace {

// Test values are drawn from it; no candidate can know it, and no decision reads it.
Result<std::uint64_t> session_secret() {
  std::uint64_t secret = 0;
  if (::getrandom(&secret, sizeof secret, 0) != static_cast<ssize_t>(sizeof secret)) {
    return Error{ErrorCode::environment, "the system gives no random numbers"};
  }
  return secret;
}

PoolOptions pool_options(const RunMaterial& material, int devices) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  PoolOptions pool;
  pool.lanes = material.config.search.lanes;
  pool.devices = devices;
  const int jobs = material.config.compile_jobs;
  pool.compile_jobs = std::min(pool.lanes, jobs > 0 ? jobs : std::max(1, cores - 1));
  pool.exclusive_timing = material.target.backend == "cpu" && cores <= 2;
  return pool;
}

// A stop token that follows the first Ctrl-C while the main thread waits for something long.
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

OpenRun::OpenRun(archive::ExperimentLog log,
                 search::Engine engine,
                 const RunMaterial& material,
                 const Clock& clock)
    : log_(std::move(log)),
      engine_(std::move(engine)),
      material_(material),
      recorder_(engine_, log_, clock) {}

Result<std::unique_ptr<OpenRun>> OpenRun::begin(archive::ExperimentLog log,
                                                const std::string& run,
                                                const RunMaterial& material,
                                                const std::vector<BaselineFrozen>& frozen,
                                                const SessionWorld& world) {
  COPPICE_TRY(search::Engine engine,
              search::Engine::create(engine_setup(material), world.executor));
  COPPICE_TRY_VOID(store(log, material, run, world.evaluator.environment()));
  COPPICE_TRY(auto desk, open_desk(log, material, world));
  std::unique_ptr<OpenRun> out(
      new OpenRun(std::move(log), std::move(engine), material, world.clock));
  out->run_ = run;
  out->desk_ = std::move(desk);
  COPPICE_TRY_VOID(out->log_.commit());
  COPPICE_TRY_VOID(out->freeze(frozen, world));
  return out;
}

Result<std::unique_ptr<OpenRun>> OpenRun::go_on(archive::ExperimentLog log,
                                                const RunMaterial& material,
                                                const SessionWorld& world) {
  if (!decided_alike(material)) {
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
  COPPICE_TRY(auto desk, open_desk(log, material, world));
  std::unique_ptr<OpenRun> out(
      new OpenRun(std::move(log), std::move(engine), material, world.clock));
  out->run_ = material.run;
  out->desk_ = std::move(desk);
  out->elapsed_ = replayed.state.elapsed;
  out->baselines_ = replayed.state.baselines;
  out->lost_ = replayed.state.in_flight.size();
  COPPICE_TRY_VOID(
      out->recorder_.step(Resumed{replayed.state.in_flight, world.evaluator.environment().dump()}));
  COPPICE_TRY_VOID(out->recorder_.commit());
  if (out->baselines_.empty()) {
    COPPICE_TRY_VOID(out->freeze({}, world));
  } else {
    COPPICE_TRY_VOID(out->adopt(world));
  }
  return out;
}

Result<void> OpenRun::give_up_flights() {
  const std::set<AttemptId>& flights = recorder_.in_flight();
  const std::vector<AttemptId> lost(flights.begin(), flights.end());
  COPPICE_TRY_VOID(recorder_.step(Resumed{lost, "the evaluator failed"}));
  return recorder_.commit();
}

Result<void> OpenRun::adopt(const SessionWorld& world) const {
  const StopOnInterrupt stop(world.interrupts);
  return world.evaluator.adopt_baselines(baselines_, stop.token());
}

Result<void> OpenRun::freeze(const std::vector<BaselineFrozen>& known, const SessionWorld& world) {
  const StopOnInterrupt stop(world.interrupts);
  baselines_ = known;
  if (known.empty()) {
    world.console.show_progress(world.prefix + "timing the library baselines");
    Result<std::vector<BaselineFrozen>> timed = world.evaluator.freeze_baselines(stop.token());
    if (world.interrupts() > 0) {
      return interrupted(run_);
    }
    COPPICE_TRY(baselines_, std::move(timed).within("freeze the baselines"));
  } else {
    COPPICE_TRY_VOID(
        world.evaluator.adopt_baselines(known, stop.token()).within("adopt baselines"));
  }
  for (const BaselineFrozen& baseline : baselines_) {
    COPPICE_TRY_VOID(recorder_.step(baseline));
  }
  return recorder_.commit();
}

Result<Prepared> OpenRun::prepare(const Proposed& proposal) const {
  Prepared prepared;
  Result<Candidate> candidate = candidate_of(material_, proposal.candidate, proposal.spec);
  if (candidate.ok()) {
    prepared.candidate = std::move(*candidate);
  } else {
    prepared.candidate.id = proposal.candidate;
    prepared.refused =
        Verdict{false, Gate::resources, FailureClass::plan_invalid, candidate.error().message};
  }
  return prepared;
}

Result<RunEnd> OpenRun::search(const SessionWorld& world, Turn turn) {
  COPPICE_TRY(const std::uint64_t secret, session_secret());
  if (progress_ == nullptr) {
    const bool against_baseline = std::ranges::any_of(baselines_, &BaselineFrozen::chosen);
    progress_ = std::make_unique<Progress>(
        world.console,
        world.clock,
        ProgressOptions{material_.config.search.budget, world.prefix, against_baseline},
        Disagreement(material_));
  }
  const RunLoop parts{recorder_,
                      world.evaluator,
                      [this](const Proposed& proposal) { return prepare(proposal); },
                      world.clock,
                      *progress_,
                      world.interrupts,
                      pool_options(material_, world.evaluator.devices()),
                      elapsed_,
                      secret,
                      desk_.get(),
                      turn,
                      world.recorded_order};
  Result<RunEnd> end = run_loop(parts);
  world.console.clear_progress();
  if (end.ok()) {
    elapsed_ = end->elapsed;
  }
  return end;
}

Result<void> OpenRun::spend(StopReason reason, const std::string& message) {
  COPPICE_TRY_VOID(recorder_.step(StopRequested{message, reason}));
  return recorder_.commit();
}

void OpenRun::rest() {
  engine_.rest();
  log_.rest();
#ifdef __GLIBC__
  // What was freed lies scattered between what is kept; without this the process keeps it.
  ::malloc_trim(0);
#endif
}

Result<void> OpenRun::close() {
  return log_.close();
}

}  // namespace coppice::cli
