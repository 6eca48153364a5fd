// `coppice simulate`: how soon a strategy is good, on tables that are recorded already.
#include "cli/simulate.h"

#include "cli/commands.h"
#include "cli/tbb_executor.h"
#include "cli/words.h"
#include "evaluators/landscape.h"

#include <fmt/format.h>

#include <charconv>

namespace coppice::cli {
namespace {

Result<SimulationOptions> simulation_options(const Arguments& arguments) {
  SimulationOptions out;
  out.strategy = arguments.text("--strategy", out.strategy);
  COPPICE_TRY(const auto budget, arguments.integer("--budget", 1, 10'000'000));
  out.budget = budget.value_or(out.budget);
  COPPICE_TRY(const auto seeds, arguments.integer("--seeds", 1, 100'000));
  out.seeds = static_cast<int>(seeds.value_or(out.seeds));
  COPPICE_TRY(const auto seed, arguments.unsigned_integer("--seed"));
  out.seed = seed.value_or(out.seed);
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

// A file, or synthetic:NAME/INSTANCE.
Result<evaluators::RecordedTable> table_of(const std::string& name) {
  if (name.rfind(kSynthetic, 0) != 0) {
    return evaluators::RecordedTable::read(name);
  }
  const std::string rest = name.substr(kSynthetic.size());
  const auto slash = rest.find('/');
  std::uint64_t instance = 0;
  if (slash != std::string::npos) {
    const char* end = rest.data() + rest.size();
    const auto [stop, error] = std::from_chars(rest.data() + slash + 1, end, instance);
    if (error != std::errc() || stop != end) {
      return Error{
          ErrorCode::usage,
          fmt::format(
              "{}: expected a number after the slash, found \"{}\"", name, rest.substr(slash + 1))};
    }
  }
  return evaluators::generate_landscape(rest.substr(0, slash), instance);
}

Result<int> simulate_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const SimulationOptions options, simulation_options(arguments));
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
  COPPICE_TRY(const std::vector<std::string> names, table_names(arguments));
  for (const std::string& path : names) {
    COPPICE_TRY(const auto recorded, table_of(path));
    if (recorded.torn_entries() > 0) {
      console.say(path + ": ends in a torn entry, which is left out");
    }
    console.show_progress("simulating " + recorded.name());
    COPPICE_TRY(const Simulation simulation, simulate(recorded, options, executor));
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
       "generated one, synthetic:all for one of each",
       true,
       true}};
  command.options = {
      {"--strategy", "NAME", "coppice, random, hillclimb, genetic, annealing or gp", "coppice"},
      {"--budget", "N", "unique evaluations of a search; failures count", "400"},
      {"--seeds", "K", "independent searches", "25"}};
  command.body = simulate_body;
  return command;
}

}  // namespace coppice::cli
