// `coppice simulate`: how soon a strategy is good, on tables that are recorded already.
#include "cli/simulate.h"

#include "cli/commands.h"
#include "cli/tbb_executor.h"
#include "cli/warm_sources.h"
#include "cli/words.h"
#include "evaluators/landscape.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::cli {
namespace {

Result<SimulationOptions> simulation_options(const Arguments& arguments) {
  SimulationOptions out;
  out.strategy = arguments.text("--strategy", out.strategy);
  COPPICE_TRY(const auto budget, arguments.integer("--budget", 1, 10'000'000));
  out.budget = budget.value_or(out.budget);
  COPPICE_TRY(const auto seeds, arguments.integer("--seeds", 1, 100'000));
  out.seeds = static_cast<int>(seeds.value_or(out.seeds));
  COPPICE_TRY(const auto lanes, arguments.integer("--lanes", 1, 1024));
  out.lanes = static_cast<int>(lanes.value_or(out.lanes));
  COPPICE_TRY(const auto seed, arguments.unsigned_integer("--seed"));
  out.seed = seed.value_or(out.seed);
  out.off = arguments.list("--off");
  return out;
}

std::string number(const std::optional<double>& value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "-";
}

std::vector<std::string> row_of(const Simulation& simulation) {
  const SimulationSummary sum = summarise(simulation);
  std::vector<std::string> row = {
      simulation.table, simulation.strategy, std::to_string(simulation.searches.size())};
  for (const std::optional<double>& fraction : sum.fraction) {
    row.push_back(number(fraction, 3));
  }
  row.push_back(number(sum.worst[2], 3));
  row.push_back(number(sum.median_to_5pct, 0));
  row.push_back(number(sum.median_to_1pct, 0));
  row.push_back(number(sum.planner_ms_per_evaluation, 2));
  return row;
}

constexpr std::string_view kSynthetic = "synthetic:";
constexpr std::string_view kOthers = "others";

// "synthetic:all" stands for every landscape there is.
Result<std::vector<std::string>> table_names(const Arguments& arguments) {
  std::vector<std::string> out;
  for (const std::string& name : arguments.list("TABLE")) {
    const auto slash = name.find('/');
    if (name.rfind("synthetic:all", 0) != 0) {
      out.push_back(name);
      continue;
    }
    for (const std::string& one : evaluators::landscape_names()) {
      out.push_back(std::string(kSynthetic) + one +
                    (slash == std::string::npos ? "" : name.substr(slash)));
    }
  }
  return out;
}

// The tables that were named, read once.
Result<std::vector<evaluators::RecordedTable>> read_tables(const Arguments& arguments,
                                                           Console& console) {
  COPPICE_TRY(const std::vector<std::string> names, table_names(arguments));
  std::vector<evaluators::RecordedTable> out;
  for (const std::string& name : names) {
    console.show_progress("reading " + name);
    COPPICE_TRY(auto table, named_table(name));
    if (table.torn_entries() > 0) {
      console.say(name + ": ends in a torn entry, which is left out");
    }
    out.push_back(std::move(table));
  }
  console.clear_progress();
  return out;
}

// What --warm names, the same for each table; nothing for "others".
Result<std::vector<Json>> read_warm(const Arguments& arguments) {
  std::vector<Json> out;
  for (const std::string& name : arguments.list("--warm")) {
    if (name != kOthers) {
      COPPICE_TRY(const planner::WarmSource source, named_warm_source(name, nullptr));
      out.push_back(planner::to_json(source));
    }
  }
  return out;
}

// The other tables with the same axes.
std::vector<Json> others(const std::vector<evaluators::RecordedTable>& tables, std::size_t self) {
  const auto names = [](const evaluators::RecordedTable& table) {
    std::vector<std::string> out;
    for (const Axis& axis : table.space().space.axes()) {
      out.push_back(axis.name);
    }
    std::sort(out.begin(), out.end());
    return out;
  };
  std::vector<Json> out;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    if (i != self && names(tables[i]) == names(tables[self])) {
      out.push_back(planner::to_json(warm_source_of(tables[i])));
    }
  }
  return out;
}

Result<int> simulate_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(SimulationOptions options, simulation_options(arguments));
  TbbExecutor executor;
  Json tables = Json::array();
  Table text({"table",
              "strategy",
              "seeds",
              "20",
              "50",
              "100",
              "200",
              "400",
              "worst @100",
              "to 5 %",
              "to 1 %",
              "ms/evaluation"});
  COPPICE_TRY(const auto recorded, read_tables(arguments, console));
  COPPICE_TRY(const std::vector<Json> warm, read_warm(arguments));
  const std::vector<std::string> named = arguments.list("--warm");
  const bool with_others = std::find(named.begin(), named.end(), kOthers) != named.end();
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    options.warm = warm;
    for (Json& other : with_others ? others(recorded, i) : std::vector<Json>()) {
      options.warm.push_back(std::move(other));
    }
    console.show_progress("simulating " + recorded[i].name());
    COPPICE_TRY(const Simulation simulation, simulate(recorded[i], options, executor));
    console.clear_progress();
    text.add(row_of(simulation));
    tables.push(to_json(simulation));
  }
  if (arguments.has("--json")) {
    console.answer(Json::object().set("schema", 1).set("tables", std::move(tables)).dump());
  } else {
    console.answer(text.text());
  }
  return 0;
}

}  // namespace

Command simulate_command() {
  Command command;
  command.name = "simulate";
  command.summary = "how soon a strategy is good on recorded tables, over many seeds";
  command.example = "coppice simulate table.json.gz --strategy random --budget 200";
  command.positionals = {
      {"TABLE",
       "Kernel Tuner cache file or T4 results, plain or gzip; synthetic:NAME/INSTANCE for a "
       "generated one, synthetic:all for one of each; derived:NAME/INSTANCE:TABLE for what another "
       "device might have recorded (sibling, cousin, mirror, shuffled, planted)",
       true,
       true}};
  command.options = {
      {"--strategy",
       "NAME",
       "coppice, random, hillclimb, genetic, annealing, gp or, with --warm, log_order",
       "coppice"},
      {"--budget", "N", "unique evaluations of a search; failures count", "400"},
      {"--seeds", "K", "independent searches", "25"},
      {"--lanes", "N", "attempts in flight; they arrive by their recorded cost", "1"},
      {"--warm",
       "LOG,LOG",
       "start from these: tables as above, folders of runs; others: the other TABLEs with the same "
       "axes",
       "none",
       true},
      {"--off",
       "PART,PART",
       "parts of strategy coppice to do without: world_model, frontier, evolution, memory, tree, "
       "warm",
       "none",
       true}};
  command.body = simulate_body;
  return command;
}

}  // namespace coppice::cli
