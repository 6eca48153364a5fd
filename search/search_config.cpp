// Names and JSON of the search's options.
#include "search/search_config.h"

#include "core/codec.h"

#include <cmath>

namespace coppice::search {
namespace {

constexpr std::string_view kStrategies[] = {
    "coppice", "random", "hillclimb", "best_of_n", "default"};

Json budget_json(const Budget& budget) {
  return Json::object()
      .set("attempts", budget.attempts)
      .set("seconds", to_seconds(budget.seconds))
      .set("money", budget.money);
}

Result<Budget> read_budget(const JsonReader& json) {
  Budget budget;
  double seconds = 0.0;
  Fields fields(json, {"attempts", "seconds", "money"});
  fields.maybe("attempts", budget.attempts).maybe("seconds", seconds).maybe("money", budget.money);
  COPPICE_TRY(budget, fields.done(budget));
  const auto refuse = [&](std::string_view key, std::string_view expected) -> Error {
    auto member = json.at(key);
    return member.ok() ? member->error(expected) : json.error(expected);
  };
  if (budget.attempts < 0) {
    return refuse("attempts", "a whole number, 0 or more");
  }
  if (!(seconds >= 0.0 && seconds < 1e9)) {
    return refuse("seconds", "a number of seconds, 0 or more");
  }
  if (!(budget.money >= 0.0)) {
    return refuse("money", "a number, 0 or more");
  }
  budget.seconds = Nanoseconds(static_cast<std::int64_t>(std::floor(seconds * 1e9 + 0.5)));
  return budget;
}

Result<int> count_in(
    const JsonReader& json, std::string_view key, int fallback, int low, int high) {
  const auto member = json.find(key);
  if (!member) {
    return fallback;
  }
  COPPICE_TRY(const std::int64_t value, member->integer_in(low, high));
  return static_cast<int>(value);
}

}  // namespace

std::string_view to_text(Strategy strategy) {
  return kStrategies[static_cast<std::size_t>(strategy)];
}

Result<Strategy> strategy(std::string_view text) {
  return enum_named<Strategy>("strategy", kStrategies, text);
}

Json to_json(const SearchOptions& options) {
  return Json::object()
      .set("strategy", to_text(options.strategy))
      .set("budget", budget_json(options.budget))
      .set("lanes", options.lanes)
      .set("stagnation", options.stagnation)
      .set("finalists", options.finalists)
      .set("promote", options.promote)
      .set("world_model", options.world_model)
      .set("frontier", options.frontier)
      .set("evolution", options.evolution)
      .set("memory", options.memory)
      .set("tree", options.tree)
      .set("warm", options.warm);
}

Result<SearchOptions> search_options(const JsonReader& json) {
  SearchOptions options;
  Fields fields(json,
                {"strategy",
                 "budget",
                 "lanes",
                 "stagnation",
                 "finalists",
                 "promote",
                 "world_model",
                 "frontier",
                 "evolution",
                 "memory",
                 "tree",
                 "warm"});
  if (json.is_object() && json.find("strategy")) {
    fields.need_enum("strategy", options.strategy, strategy);
  }
  fields.maybe("promote", options.promote)
      .maybe("world_model", options.world_model)
      .maybe("frontier", options.frontier)
      .maybe("evolution", options.evolution)
      .maybe("memory", options.memory)
      .maybe("tree", options.tree)
      .maybe("warm", options.warm);
  COPPICE_TRY(options, fields.done(options));
  if (const auto budget = json.find("budget")) {
    COPPICE_TRY(options.budget, read_budget(*budget));
  }
  COPPICE_TRY(options.lanes, count_in(json, "lanes", options.lanes, 1, 4096));
  COPPICE_TRY(options.stagnation, count_in(json, "stagnation", options.stagnation, 1, 1000000));
  COPPICE_TRY(options.finalists, count_in(json, "finalists", options.finalists, 0, 1000));
  return options;
}

}  // namespace coppice::search
