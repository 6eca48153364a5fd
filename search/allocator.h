// Allocator: whose turn it is when several tasks share one budget; events in, decisions out.
#pragma once

#include "core/event.h"
#include "core/result.h"
#include "search/search_config.h"

#include <optional>
#include <string>
#include <vector>

namespace coppice::search {

// Moves only with a change of the allocator's decisions; shared runs keep it in their log.
inline constexpr int kAllocatorVersion = 1;

struct SharedTask {
  std::string name;
  double weight = 1.0;
};

struct AllocatorSetup {
  std::vector<SharedTask> tasks;
  Budget budget;  // attempts, seconds, or both: what is spent first ends the search
};

// How a task stands. Costs are seconds where the budget has any, else attempts.
struct TaskStanding {
  std::string name;
  double weight = 1.0;
  int turns = 0;
  std::int64_t attempts = 0, valid = 0;
  double cost = 0.0;
  double rate = 0.0;  // expected fall of the log cost for each unit of cost, by recent turns
  int dry = 0;        // turns in a row that gained nothing
  int failures = 0;   // turns in a row that came to nothing
  std::optional<double> best_log_cost;
  std::optional<Stopped> stopped;
  bool given_up = false;

  bool ended() const { return stopped.has_value() || given_up; }
  bool yields() const;  // gained nothing for so long that only its floor is left
};

// Turns are given by weight and recent gain: first one to every task; then to a task that is below
// its floor (a quarter of the budget is promised by weight), else to the task whose recent turns
// gained most for their cost, times its weight. A task that gained nothing in three turns yields
// everything but its floor. When the budget is spent, each task gets a last turn for its finalists.
// Deterministic; no clock inside.
class Allocator {
 public:
  // Errors: no task, a name twice, a weight that is not above 0, no budget.
  static Result<Allocator> create(AllocatorSetup setup);

  // WorkRequested: Allocated, Stopped, or Idle while a turn is under way. SliceEnded, Tick,
  // StopRequested, Resumed: nothing follows at once.
  std::vector<Event> handle(const Event& input);

  const std::vector<TaskStanding>& standings() const { return standings_; }
  const std::optional<Allocated>& open_turn() const { return open_; }
  bool by_time() const { return setup_.budget.seconds.count() > 0; }
  double turn_cost() const { return turn_; }  // of one turn: attempts or seconds
  // The part of the budget that a task gets for certain while it searches.
  double promised_share(std::size_t task) const;

 private:
  explicit Allocator(AllocatorSetup setup);
  Event next();
  Event last_turn_or_stop();
  std::optional<std::size_t> not_begun() const;
  std::optional<std::size_t> below_floor(std::string& why) const;
  std::size_t most_promising(std::string& why) const;
  Allocated turn(std::size_t task, std::string why) const;
  void take(const SliceEnded& slice);
  void learn(TaskStanding& task, const SliceEnded& slice) const;
  bool spent(StopReason& reason, std::string& message) const;
  double cost_so_far() const;
  double promised(std::size_t task) const;  // of the cost so far

  AllocatorSetup setup_;
  double turn_ = 0.0;
  std::vector<TaskStanding> standings_;
  std::optional<Allocated> open_;
  std::optional<Stopped> stopped_;
  std::optional<std::string> user_stop_;
  Nanoseconds elapsed_{};
  bool interrupted_ = false;  // the open turn ends early through no fault of its task
};

}  // namespace coppice::search
