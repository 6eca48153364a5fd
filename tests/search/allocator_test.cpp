// Who gets the next turn of a shared budget.
#include "search/allocator.h"

#include "tests/support/catch.h"
#include "tests/support/text.h"

#include <map>

using namespace coppice;
using namespace coppice::tests;

namespace {

search::Allocator allocator(std::vector<search::SharedTask> tasks, search::Budget budget) {
  auto made = search::Allocator::create({std::move(tasks), budget});
  REQUIRE(made.ok());
  return std::move(*made);
}

search::Budget attempts(std::int64_t count) {
  search::Budget out;
  out.attempts = count;
  return out;
}

Event asked(search::Allocator& allocator) {
  const std::vector<Event> out = allocator.handle(WorkRequested{0});
  REQUIRE(out.size() == 1);
  return out.front();
}

Allocated turn(search::Allocator& allocator) {
  const Event event = asked(allocator);
  REQUIRE(std::holds_alternative<Allocated>(event));
  return std::get<Allocated>(event);
}

SliceEnded slice_of(const Allocated& given, double log_cost) {
  SliceEnded out;
  out.task = given.task;
  out.attempts = given.attempts;
  out.valid = given.attempts;
  out.took = Nanoseconds{1'000'000'000};
  out.best_log_cost = log_cost;
  if (given.last) {
    out.stopped = Stopped{StopReason::budget_attempts, "spent"};
  }
  return out;
}

// Plays a whole run; `gain` says how much a task's log cost falls in a turn.
std::map<std::string, std::int64_t> played(search::Allocator& allocator,
                                           const std::map<std::string, double>& gain,
                                           std::string* told = nullptr) {
  std::map<std::string, std::int64_t> spent;
  std::map<std::string, double> cost;
  for (int i = 0; i < 10'000; ++i) {
    const Event event = asked(allocator);
    if (told != nullptr) {
      *told += encode(event) + "\n";
    }
    if (std::holds_alternative<Stopped>(event)) {
      return spent;
    }
    const auto given = std::get<Allocated>(event);
    spent[given.task] += given.attempts;
    cost[given.task] -= given.last ? 0.0 : gain.at(given.task);
    allocator.handle(slice_of(given, cost[given.task]));
  }
  FAIL("the allocator never stops");
  return spent;
}

}  // namespace

TEST_CASE("every task has a first turn, the heaviest first") {
  auto shared = allocator({{"light", 1.0}, {"heavy", 3.0}, {"other", 1.0}}, attempts(300));
  std::vector<std::string> order;
  for (int i = 0; i < 3; ++i) {
    const Allocated given = turn(shared);
    CHECK(contains(given.why, "first turn"));
    CHECK(given.attempts == 12);
    order.push_back(given.task);
    shared.handle(slice_of(given, 0.0));
  }
  CHECK(order == std::vector<std::string>{"heavy", "light", "other"});
}

TEST_CASE("a shared budget is spent to the last attempt, and each task ends with its finalists") {
  auto shared = allocator({{"a", 1.0}, {"b", 1.0}, {"c", 2.0}}, attempts(301));
  std::int64_t sum = 0;
  std::string told;
  for (const auto& [task, spent] : played(shared, {{"a", 0.0}, {"b", 0.1}, {"c", 0.01}}, &told)) {
    sum += spent;
  }
  CHECK(sum == 301);
  std::size_t last = 0;
  for (std::size_t at = 0; (at = told.find("\"last\":true", at)) != told.npos; ++at) {
    ++last;
  }
  CHECK(last == 3);
  CHECK(contains(told, "\"reason\":\"budget_attempts\""));
}

TEST_CASE("tasks that stopped gaining keep their floor and yield the rest") {
  auto shared = allocator({{"dry", 1.0}, {"wet", 1.0}, {"dead", 1.0}}, attempts(1000));
  const auto spent = played(shared, {{"dry", 0.0}, {"wet", 0.05}, {"dead", 0.0}});
  CHECK(spent.at("wet") > 600);
  CHECK(spent.at("dry") >= 83 - 20);  // a third of a quarter, but for a turn
  CHECK(spent.at("dead") >= 83 - 20);
  CHECK(shared.standings()[0].yields());
  CHECK_FALSE(shared.standings()[1].yields());
}

TEST_CASE("between tasks that gain alike the weight decides") {
  auto shared = allocator({{"light", 1.0}, {"heavy", 4.0}}, attempts(2000));
  const auto spent = played(shared, {{"light", 0.02}, {"heavy", 0.02}});
  CHECK(spent.at("heavy") > 2 * spent.at("light"));
  CHECK(spent.at("light") > 80);
}

TEST_CASE("the same inputs give the same turns and the same words") {
  const std::map<std::string, double> gain = {{"a", 0.003}, {"b", 0.02}, {"c", 0.0}};
  std::string first;
  std::string second;
  auto one = allocator({{"a", 1.0}, {"b", 1.5}, {"c", 1.0}}, attempts(900));
  auto two = allocator({{"a", 1.0}, {"b", 1.5}, {"c", 1.0}}, attempts(900));
  played(one, gain, &first);
  played(two, gain, &second);
  CHECK(first == second);
  CHECK(contains(first, "below its floor"));
  CHECK(contains(first, "the most by weight; yielding: c"));
}

TEST_CASE("a task whose turns are cut off three times is given up, and the others go on") {
  auto shared = allocator({{"lost", 5.0}, {"sound", 1.0}}, attempts(200));
  std::int64_t sound = 0;
  for (int i = 0; i < 1000; ++i) {
    const Event event = asked(shared);
    if (std::holds_alternative<Stopped>(event)) {
      break;
    }
    const auto given = std::get<Allocated>(event);
    SliceEnded slice = slice_of(given, -0.1 * i);
    if (given.task == "lost") {
      slice = SliceEnded();
      slice.task = given.task;
      slice.failed = "the device is gone";
    }
    sound += given.task == "sound" ? given.attempts : 0;
    shared.handle(slice);
  }
  CHECK(shared.standings()[0].given_up);
  CHECK(shared.standings()[0].turns == 3);
  CHECK(sound == 200);
}

TEST_CASE("a turn that an interruption ends is no failure of its task") {
  auto shared = allocator({{"a", 1.0}}, attempts(100));
  for (int i = 0; i < 5; ++i) {
    const Allocated given = turn(shared);
    shared.handle(Resumed{{}, ""});
    SliceEnded nothing;
    nothing.task = given.task;
    shared.handle(nothing);
  }
  CHECK_FALSE(shared.standings()[0].given_up);
  CHECK(turn(shared).task == "a");
}

TEST_CASE("a budget in seconds ends by the clock, and turns never reach beyond it") {
  search::Budget budget;
  budget.seconds = Nanoseconds{100'000'000'000};
  auto shared = allocator({{"a", 1.0}, {"b", 1.0}}, budget);
  CHECK(shared.by_time());
  const Allocated first = turn(shared);
  CHECK(first.attempts == 0);
  CHECK(first.seconds == Nanoseconds{10'000'000'000});
  shared.handle(slice_of(first, 0.0));
  shared.handle(Tick{Nanoseconds{95'000'000'000}});
  const Allocated second = turn(shared);
  CHECK(second.seconds == Nanoseconds{5'000'000'000});
  shared.handle(slice_of(second, 0.0));
  shared.handle(Tick{Nanoseconds{101'000'000'000}});
  CHECK(turn(shared).last);
}

TEST_CASE("tasks that can't share a budget are refused by name") {
  CHECK_FALSE(search::Allocator::create({{}, attempts(5)}).ok());
  CHECK_FALSE(search::Allocator::create({{{"a", 1.0}}, {}}).ok());
  const auto heavy = search::Allocator::create({{{"a", -1.0}}, attempts(5)});
  REQUIRE_FALSE(heavy.ok());
  CHECK(contains(heavy.error().message, "task a: expected a weight above 0"));
  CHECK_FALSE(search::Allocator::create({{{"a", 1.0}, {"a", 1.0}}, attempts(5)}).ok());
}
