// Shares one budget out among tasks.
#include "search/allocator.h"

#include "core/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coppice::search {
namespace {

constexpr double kPromised = 0.25;     // of the budget, handed out by weight alone
constexpr double kTurnsPerTask = 8.0;  // aimed at
constexpr double kNewest = 0.5;        // weight of the newest turn in the expected gain
constexpr double kFirstGain = 0.05;    // what a second turn is expected to bring
constexpr double kLeastGain = 0.002;   // of log cost; less is noise
constexpr int kDryTurns = 3;
constexpr int kMostFailures = 3;

// Turns long enough to be worth the change of task, short enough that every task gets several.
double turn_of(const Budget& budget, std::size_t tasks) {
  const double count = static_cast<double>(tasks);
  const bool by_time = budget.seconds.count() > 0;
  const double all = by_time ? to_seconds(budget.seconds) : static_cast<double>(budget.attempts);
  const double low = by_time ? 10.0 : 4.0;
  const double high = by_time ? 600.0 : 100.0;
  const double wanted = std::clamp(all / (kTurnsPerTask * count), low, high);
  const double turn = std::min(wanted, all / (2.0 * count));
  return by_time ? turn : std::max(1.0, std::floor(turn));
}

}  // namespace

bool TaskStanding::yields() const {
  return dry >= kDryTurns;
}

Result<Allocator> Allocator::create(AllocatorSetup setup) {
  if (setup.tasks.empty()) {
    return Error{ErrorCode::config, "tasks: expected at least one, found none"};
  }
  if (setup.budget.attempts <= 0 && setup.budget.seconds.count() <= 0) {
    return Error{ErrorCode::config, "a budget needs attempts or seconds; both are 0"};
  }
  for (std::size_t i = 0; i < setup.tasks.size(); ++i) {
    const SharedTask& task = setup.tasks[i];
    if (!(task.weight > 0.0) || !std::isfinite(task.weight)) {
      return Error{
          ErrorCode::config,
          fmt::format("task {}: expected a weight above 0, found {}", task.name, task.weight)};
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (setup.tasks[j].name == task.name) {
        return Error{ErrorCode::config, fmt::format("task {}: each name once", task.name)};
      }
    }
  }
  return Allocator(std::move(setup));
}

Allocator::Allocator(AllocatorSetup setup)
    : setup_(std::move(setup)), turn_(turn_of(setup_.budget, setup_.tasks.size())) {
  for (const SharedTask& task : setup_.tasks) {
    TaskStanding standing;
    standing.name = task.name;
    standing.weight = task.weight;
    standings_.push_back(std::move(standing));
  }
}

std::vector<Event> Allocator::handle(const Event& input) {
  std::vector<Event> out;
  if (const auto* request = std::get_if<WorkRequested>(&input)) {
    out.push_back(open_ ? Event(Idle{request->lane}) : next());
  } else if (const auto* slice = std::get_if<SliceEnded>(&input)) {
    take(*slice);
  } else if (const auto* tick = std::get_if<Tick>(&input)) {
    elapsed_ = std::max(elapsed_, tick->elapsed);
  } else if (const auto* stop = std::get_if<StopRequested>(&input)) {
    user_stop_ = stop->reason.empty() ? "stopped by the user" : stop->reason;
  } else if (std::holds_alternative<Resumed>(input)) {
    interrupted_ = open_.has_value();
  }
  return out;
}

double Allocator::cost_so_far() const {
  double sum = 0.0;
  for (const TaskStanding& task : standings_) {
    sum += task.cost;
  }
  return sum;
}

double Allocator::promised_share(std::size_t task) const {
  double weights = 0.0;
  for (const TaskStanding& one : standings_) {
    weights += one.ended() ? 0.0 : one.weight;
  }
  return standings_[task].ended() ? 0.0 : kPromised * standings_[task].weight / weights;
}

double Allocator::promised(std::size_t task) const {
  return promised_share(task) * (cost_so_far() + turn_);
}

bool Allocator::spent(StopReason& reason, std::string& message) const {
  const Budget& budget = setup_.budget;
  std::int64_t attempts = 0;
  bool all_ended = true;
  for (const TaskStanding& task : standings_) {
    attempts += task.attempts;
    all_ended = all_ended && task.ended();
  }
  if (all_ended) {
    reason = StopReason::exhausted;
    message = "every task has ended";
    return true;
  }
  if (budget.attempts > 0 && attempts >= budget.attempts) {
    reason = StopReason::budget_attempts;
    message = fmt::format("{} attempts of the shared budget are spent", attempts);
    return true;
  }
  if (budget.seconds.count() > 0 && elapsed_ >= budget.seconds) {
    reason = StopReason::budget_seconds;
    message = fmt::format("{:.0f} s of the shared budget are spent", to_seconds(elapsed_));
    return true;
  }
  return false;
}

Event Allocator::next() {
  if (stopped_) {
    return *stopped_;
  }
  if (user_stop_) {
    stopped_ = Stopped{StopReason::user, *user_stop_};
    return *stopped_;
  }
  StopReason reason = StopReason::exhausted;
  std::string why;
  if (spent(reason, why)) {
    return last_turn_or_stop();
  }
  std::size_t task = 0;
  if (const auto fresh = not_begun()) {
    task = *fresh;
    why = "its first turn";
  } else if (const auto owed = below_floor(why)) {
    task = *owed;
  } else {
    task = most_promising(why);
  }
  open_ = turn(task, std::move(why));
  return *open_;
}

Event Allocator::last_turn_or_stop() {
  StopReason reason = StopReason::exhausted;
  std::string message;
  static_cast<void>(spent(reason, message));
  for (const TaskStanding& task : standings_) {
    if (task.turns > 0 && !task.ended()) {
      open_ = Allocated{task.name, 0, Nanoseconds{0}, true, message + ": finalists and promotion"};
      return *open_;
    }
  }
  // All have ended by now, most of them because the budget was spent.
  const Budget& budget = setup_.budget;
  std::int64_t attempts = 0;
  bool failed = true;
  for (const TaskStanding& task : standings_) {
    attempts += task.attempts;
    failed = failed && task.given_up;
  }
  if (failed) {
    stopped_ = Stopped{StopReason::failed, "no task could be worked on"};
  } else if (budget.attempts > 0 && attempts >= budget.attempts) {
    stopped_ = Stopped{StopReason::budget_attempts, fmt::format("{} attempts are spent", attempts)};
  } else if (budget.seconds.count() > 0 && elapsed_ >= budget.seconds) {
    stopped_ = Stopped{StopReason::budget_seconds,
                       fmt::format("{:.0f} s are spent", to_seconds(elapsed_))};
  } else {
    stopped_ = Stopped{StopReason::exhausted, message};
  }
  return *stopped_;
}

// The heaviest first: a short budget may not reach all.
std::optional<std::size_t> Allocator::not_begun() const {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < standings_.size(); ++i) {
    const bool heavier = !found || standings_[i].weight > standings_[*found].weight;
    if (standings_[i].turns == 0 && !standings_[i].ended() && heavier) {
      found = i;
    }
  }
  return found;
}

std::optional<std::size_t> Allocator::below_floor(std::string& why) const {
  std::optional<std::size_t> found;
  double most = 0.5 * turn_;  // less is not worth a turn
  for (std::size_t i = 0; i < standings_.size(); ++i) {
    const double owed = promised(i) - standings_[i].cost;
    if (!standings_[i].ended() && owed > most) {
      most = owed;
      found = i;
    }
  }
  if (found) {
    const TaskStanding& task = standings_[*found];
    why = fmt::format("below its floor: had {:.0f} of the {:.0f} {} that weight {:g} is promised",
                      task.cost,
                      promised(*found),
                      by_time() ? "s" : "attempts",
                      task.weight);
  }
  return found;
}

std::size_t Allocator::most_promising(std::string& why) const {
  std::optional<std::size_t> found;
  std::string yielding;
  for (std::size_t i = 0; i < standings_.size(); ++i) {
    const TaskStanding& task = standings_[i];
    if (!task.ended() && task.yields()) {
      yielding += (yielding.empty() ? "; yielding: " : ", ") + task.name;
    }
    if (task.ended() || task.yields()) {
      continue;
    }
    if (!found || task.weight * task.rate > standings_[*found].weight * standings_[*found].rate) {
      found = i;
    }
  }
  const char* unit = by_time() ? "second" : "attempt";
  if (found) {
    const TaskStanding& task = standings_[*found];
    why = fmt::format(
        "expects {:.4f} % per {}, the most by weight{}", 100.0 * task.rate, unit, yielding);
    return *found;
  }
  for (std::size_t i = 0; i < standings_.size(); ++i) {
    const TaskStanding& task = standings_[i];
    if (!task.ended() &&
        (!found || task.cost * standings_[*found].weight < standings_[*found].cost * task.weight)) {
      found = i;
    }
  }
  COPPICE_CHECK(found.has_value());
  why = "no task gained of late; this one had the least for its weight";
  return *found;
}

Allocated Allocator::turn(std::size_t task, std::string why) const {
  Allocated out;
  out.task = standings_[task].name;
  out.why = std::move(why);
  const Budget& budget = setup_.budget;
  std::int64_t attempts = 0;
  for (const TaskStanding& one : standings_) {
    attempts += one.attempts;
  }
  const std::int64_t left = budget.attempts - attempts;
  if (by_time()) {
    const Nanoseconds most(static_cast<std::int64_t>(std::floor(turn_ * 1e9)));
    out.seconds = std::min(most, budget.seconds - elapsed_);
    out.attempts = budget.attempts > 0 ? left : 0;
  } else {
    out.attempts = std::min(left, static_cast<std::int64_t>(turn_));
  }
  return out;
}

void Allocator::take(const SliceEnded& slice) {
  const bool interrupted = interrupted_;
  interrupted_ = false;
  if (!open_ || open_->task != slice.task) {
    return;
  }
  const bool last = open_->last;
  open_.reset();
  for (TaskStanding& task : standings_) {
    if (task.name != slice.task) {
      continue;
    }
    const bool idle = !interrupted && !slice.stopped && (last || slice.attempts == 0);
    task.failures = idle ? task.failures + 1 : 0;
    task.given_up = task.failures >= kMostFailures;
    task.stopped = slice.stopped;
    task.valid += slice.valid;
    task.attempts += slice.attempts;
    ++task.turns;
    if (!last) {
      learn(task, slice);
    }
    return;
  }
}

void Allocator::learn(TaskStanding& task, const SliceEnded& slice) const {
  const double cost = by_time() ? to_seconds(slice.took) : static_cast<double>(slice.attempts);
  task.cost += cost;
  if (!(cost > 0.0)) {
    return;
  }
  const bool known = task.best_log_cost.has_value() && slice.best_log_cost.has_value();
  const double gain = known ? std::max(0.0, *task.best_log_cost - *slice.best_log_cost) : 0.0;
  if (!known) {
    task.rate = kFirstGain / cost;  // its first valid candidate, or none yet: who knows
  } else {
    task.rate = (1.0 - kNewest) * task.rate + kNewest * gain / cost;
  }
  task.dry = slice.best_log_cost && (!known || gain >= kLeastGain) ? 0 : task.dry + 1;
  if (slice.best_log_cost) {
    task.best_log_cost = slice.best_log_cost;
  }
}

}  // namespace coppice::search
