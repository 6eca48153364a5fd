// Gives turns to tasks, one at a time, as the allocator decides.
#include "cli/shared_run.h"

#include "archive/comparison_file.h"
#include "archive/run_fold.h"
#include "cli/open_run.h"
#include "cli/replay.h"
#include "cli/words.h"

#include <algorithm>
#include <utility>

namespace coppice::cli {
namespace {

Nanoseconds shared_wall_now() {
  return std::chrono::duration_cast<Nanoseconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

// The disk or the log itself: no other task would fare better.
bool ends_the_run(const Error& error) {
  return error.code == ErrorCode::io || error.code == ErrorCode::corrupt ||
         error.code == ErrorCode::busy;
}

class SharedRun {
 public:
  SharedRun(const archive::RunStore& store,
            archive::ExperimentLog log,
            const SharedMaterial& material,
            search::Allocator allocator,
            const SharedWorld& world)
      : store_(store),
        log_(std::move(log)),
        material_(material),
        allocator_(std::move(allocator)),
        world_(world),
        tasks_(material.tasks.size()),
        started_(world.clock.now()) {}

  Result<SharedEnd> run();
  // Brings allocator and clock to the log's end.
  Result<void> recall();

 private:
  struct Task {
    std::unique_ptr<evaluators::Evaluator> evaluator;
    std::unique_ptr<OpenRun> open;
    std::uint64_t used = 0;  // number of the turn that used the evaluator last
  };

  Nanoseconds elapsed() const { return elapsed_before_ + (world_.clock.now() - started_); }
  std::size_t index_of(const std::string& name) const;
  std::string run_of(std::size_t task) const {
    return task_run(material_.run, material_.config.tasks[task]);
  }
  SessionWorld session(std::size_t task) const;

  Result<std::vector<Event>> record(const Event& input);
  Result<void> tick() {
    const auto decisions = record(Tick{elapsed()});
    return decisions.ok() ? Result<void>() : Result<void>(decisions.error());
  }
  Result<bool> turn(const Allocated& allocated);  // false: the user interrupted it
  Result<RunEnd> work(std::size_t task, const Allocated& allocated, SliceEnded& slice);
  Result<void> prepare(std::size_t task);
  Result<archive::ExperimentLog> task_log(const std::string& name) const;
  Result<void> open_evaluator(std::size_t task);
  Result<void> close_turn(SliceEnded slice);
  Result<SliceEnded> slice_of_log(const Allocated& allocated, Nanoseconds began) const;

  const archive::RunStore& store_;
  archive::ExperimentLog log_;
  const SharedMaterial& material_;
  search::Allocator allocator_;
  const SharedWorld& world_;
  std::vector<Task> tasks_;
  const Nanoseconds started_;
  Nanoseconds elapsed_before_{};
  std::uint64_t turns_ = 0;
};

std::size_t SharedRun::index_of(const std::string& name) const {
  const auto found = std::ranges::find(material_.config.tasks, name, &TaskConfig::name);
  COPPICE_CHECK(found != material_.config.tasks.end());
  return static_cast<std::size_t>(found - material_.config.tasks.begin());
}

SessionWorld SharedRun::session(std::size_t task) const {
  return {*tasks_[task].evaluator,
          world_.clock,
          world_.executor,
          world_.console,
          world_.interrupts,
          material_.config.tasks[task].name + ": "};
}

// Each step is durable before anybody acts on it.
Result<std::vector<Event>> SharedRun::record(const Event& input) {
  COPPICE_TRY_VOID(log_.append(input));
  std::vector<Event> decisions = allocator_.handle(input);
  for (const Event& decision : decisions) {
    COPPICE_TRY_VOID(log_.append(decision));
  }
  COPPICE_TRY_VOID(log_.commit());
  return decisions;
}

Result<SharedEnd> SharedRun::run() {
  while (true) {
    if (world_.interrupts() > 0) {
      COPPICE_TRY_VOID(tick());
      COPPICE_TRY_VOID(log_.close());
      return SharedEnd{material_.run, true, std::nullopt};
    }
    COPPICE_TRY_VOID(tick());
    COPPICE_TRY(const std::vector<Event> decisions, record(WorkRequested{0}));
    for (const Event& decision : decisions) {
      if (const auto* stopped = std::get_if<Stopped>(&decision)) {
        const SharedEnd end{material_.run, false, *stopped};
        COPPICE_TRY_VOID(log_.close());
        return end;
      }
      if (const auto* allocated = std::get_if<Allocated>(&decision)) {
        COPPICE_TRY(const bool whole, turn(*allocated));
        if (!whole) {
          COPPICE_TRY_VOID(log_.close());
          return SharedEnd{material_.run, true, std::nullopt};
        }
      }
    }
  }
}

Result<bool> SharedRun::turn(const Allocated& allocated) {
  const std::size_t index = index_of(allocated.task);
  Task& task = tasks_[index];
  ++turns_;
  const bool by_time = allocated.seconds.count() > 0;
  const std::string size = allocated.last ? "finalists"
                           : by_time      ? duration_text(allocated.seconds)
                                          : std::to_string(allocated.attempts) + " attempts";
  world_.console.say(allocated.task + ": " + size + " (" + allocated.why + ")");
  const Nanoseconds began = world_.clock.now();
  SliceEnded slice;
  slice.task = allocated.task;
  const Result<RunEnd> end = work(index, allocated, slice);
  if (world_.interrupts() > 0 && (!end.ok() || !end->stopped)) {
    return false;  // closed when the run goes on
  }
  if (!end.ok()) {
    if (ends_the_run(end.error())) {
      return Error{end.error().code,
                   end.error().message +
                       "; what was measured is kept, go on with: coppice resume " + material_.run};
    }
    slice.failed = end.error().message;
    world_.console.say(allocated.task + ": the turn is cut off: " + slice.failed);
    task.evaluator.reset();  // a new one may fare better
  }
  if (task.open != nullptr) {
    slice.events = task.open->log().durable().value;
    slice.head = task.open->log().head();
  }
  if (end.ok() && end->stopped) {
    slice.stopped = end->stopped;
    COPPICE_TRY_VOID(task.open->close());
    task.open.reset();
    task.evaluator.reset();
  }
  slice.took = world_.clock.now() - began;
  COPPICE_TRY_VOID(close_turn(std::move(slice)));
  return true;
}

Result<RunEnd> SharedRun::work(std::size_t index, const Allocated& allocated, SliceEnded& slice) {
  COPPICE_TRY_VOID(prepare(index));
  OpenRun& open = *tasks_[index].open;
  const std::int64_t attempts = open.view().attempts;
  const std::int64_t valid = open.view().valid;
  if (allocated.last) {
    const bool by_time = allocator_.by_time();
    COPPICE_TRY_VOID(open.spend(by_time ? StopReason::budget_seconds : StopReason::budget_attempts,
                                allocated.why));
  }
  Result<RunEnd> end = open.search(session(index), {allocated.attempts, allocated.seconds});
  if (!end.ok() && !ends_the_run(end.error())) {
    COPPICE_TRY_VOID(open.give_up_flights());
  }
  slice.attempts = open.view().attempts - attempts;
  slice.valid = open.view().valid - valid;
  if (open.view().best) {
    slice.best_log_cost = open.view().best_log_cost;
  }
  return end;
}

// Evaluator and log of a task, opened where they are not.
Result<void> SharedRun::prepare(std::size_t index) {
  Task& task = tasks_[index];
  for (Task& other : tasks_) {
    if (&other != &task && other.open != nullptr && other.used == turns_ - 1) {
      other.open->rest();
    }
  }
  const bool fresh = task.evaluator == nullptr;
  if (fresh) {
    COPPICE_TRY_VOID(open_evaluator(index));
  }
  task.used = turns_;
  if (task.open != nullptr) {
    return fresh ? task.open->adopt(session(index)) : Result<void>();
  }
  const std::string name = run_of(index);
  COPPICE_TRY_VOID(store_.create_task(material_.run, material_.config.tasks[index].name));
  COPPICE_TRY(archive::ExperimentLog log, task_log(name));
  COPPICE_TRY(const std::uint64_t events, log.size());
  if (events == 0) {
    COPPICE_TRY(task.open,
                OpenRun::begin(std::move(log), name, material_.tasks[index], {}, session(index)));
  } else {
    COPPICE_TRY(task.open, OpenRun::go_on(std::move(log), material_.tasks[index], session(index)));
  }
  return {};
}

// It may have been begun, or only half made, before an interruption.
Result<archive::ExperimentLog> SharedRun::task_log(const std::string& name) const {
  auto log = store_.open_run(name, archive::ExperimentLog::Mode::append);
  if (log.ok() || log.error().code != ErrorCode::missing) {
    return log;
  }
  return store_.open_run(name, archive::ExperimentLog::Mode::create);
}

Result<void> SharedRun::open_evaluator(std::size_t index) {
  std::size_t held = 0;
  Task* oldest = nullptr;
  for (Task& task : tasks_) {
    held += task.evaluator != nullptr ? 1 : 0;
    if (task.evaluator != nullptr && (oldest == nullptr || task.used < oldest->used)) {
      oldest = &task;
    }
  }
  if (oldest != nullptr && held >= world_.most_evaluators) {
    oldest->evaluator.reset();
  }
  COPPICE_TRY(tasks_[index].evaluator, world_.open_evaluator(material_.tasks[index]));
  return {};
}

Result<void> SharedRun::close_turn(SliceEnded slice) {
  COPPICE_TRY_VOID(tick());
  const auto decisions = record(std::move(slice));
  return decisions.ok() ? Result<void>() : Result<void>(decisions.error());
}

// What the turn came to by the task's own log; `began`: wall clock of the decision, 0: not known.
Result<SliceEnded> SharedRun::slice_of_log(const Allocated& allocated, Nanoseconds began) const {
  SliceEnded out;
  out.task = allocated.task;
  const std::size_t index = index_of(allocated.task);
  auto log = store_.open_run(run_of(index), archive::ExperimentLog::Mode::read);
  if (!log.ok()) {
    return log.error().code == ErrorCode::missing ? Result<SliceEnded>(out) : log.error();
  }
  archive::RunFold fold;
  COPPICE_TRY_VOID(fold.catch_up(*log));
  std::int64_t in_flight = 0;
  for (const archive::Attempt& attempt : fold.attempts()) {
    const bool search = attempt.proposal.fidelity == Fidelity::search;
    in_flight += search && attempt.in_flight() ? 1 : 0;
  }
  const search::TaskStanding& before = allocator_.standings()[index];
  out.attempts = std::max<std::int64_t>(0, fold.searched() - in_flight - before.attempts);
  out.valid = std::max<std::int64_t>(0, fold.valid() - before.valid);
  const std::vector<std::string>& classes = material_.tasks[index].classes;
  const archive::Attempt* best = classes.empty() ? fold.best() : fold.best(classes.front());
  if (best != nullptr) {
    out.best_log_cost = best->log_cost();
  }
  out.stopped = fold.stopped();
  out.events = log->durable().value;
  COPPICE_TRY(out.head, archive::head_of(*log));
  out.took = std::max(Nanoseconds{0}, fold.written() - began);
  return out;
}

Result<void> SharedRun::recall() {
  COPPICE_TRY(const Replayed replayed,
              replay_log(log_, [&](const Event& input) { return allocator_.handle(input); }));
  if (!replayed.same()) {
    return Error{ErrorCode::corrupt,
                 "run " + material_.run + " can't go on: at event " +
                     std::to_string(replayed.first_mismatch->seq.value) +
                     " the log has another decision than this program"};
  }
  if (replayed.state.stopped) {
    return Error{ErrorCode::usage,
                 "run " + material_.run + " has ended (" + replayed.state.stopped->message +
                     "); there is nothing to resume"};
  }
  elapsed_before_ = replayed.state.elapsed;
  COPPICE_TRY_VOID(record(Resumed{{}, ""}));
  if (replayed.state.open_turn) {
    COPPICE_TRY(SliceEnded slice,
                slice_of_log(*replayed.state.open_turn, replayed.state.open_turn_written));
    elapsed_before_ += slice.took;
    COPPICE_TRY_VOID(close_turn(std::move(slice)));
  }
  world_.console.say("run " + material_.run + " goes on after " + duration_text(elapsed_before_));
  return {};
}

}  // namespace

Result<SharedEnd> start_shared(const archive::RunStore& store,
                               const std::string& base,
                               SharedMaterial material,
                               const SharedWorld& world) {
  COPPICE_TRY(search::Allocator allocator, allocator_of(material.config));
  COPPICE_TRY(material.run, store.create_run(archive::run_name_base(base), shared_wall_now()));
  COPPICE_TRY(archive::ExperimentLog log,
              store.open_run(material.run, archive::ExperimentLog::Mode::create));
  COPPICE_TRY_VOID(store_tasks(log, material));
  COPPICE_TRY_VOID(log.commit());
  world.console.say("run " + material.run + ": " + std::to_string(material.tasks.size()) +
                    " tasks (kept in " + store.directory() + ")");
  SharedRun run(store, std::move(log), material, std::move(allocator), world);
  return run.run();
}

Result<SharedEnd> resume_shared(const archive::RunStore& store,
                                archive::ExperimentLog log,
                                const SharedMaterial& material,
                                const SharedWorld& world) {
  if (material.allocator_version != search::kAllocatorVersion) {
    return Error{ErrorCode::environment,
                 "run " + material.run + " gave its turns by version " +
                     std::to_string(material.allocator_version) + ", this program does by " +
                     std::to_string(search::kAllocatorVersion)};
  }
  COPPICE_TRY(search::Allocator allocator, allocator_of(material.config));
  SharedRun run(store, std::move(log), material, std::move(allocator), world);
  COPPICE_TRY_VOID(run.recall());
  return run.run();
}

}  // namespace coppice::cli
