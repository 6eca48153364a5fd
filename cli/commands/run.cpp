// `coppice run`: searches, and says what came of it.
#include "cli/commands.h"
#include "cli/interrupts.h"
#include "cli/llm_estimate.h"
#include "cli/make_evaluator.h"
#include "cli/retime.h"
#include "cli/run_answer.h"
#include "cli/run_session.h"
#include "cli/shared_commands.h"
#include "cli/tbb_executor.h"
#include "cli/warm_sources.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace coppice::cli {
namespace {

Result<void> take_budget(const Arguments& arguments, search::Budget& budget) {
  COPPICE_TRY(const auto attempts, arguments.integer("--attempts", 1, 1'000'000'000));
  COPPICE_TRY(const auto seconds, arguments.real("--seconds", 0.001, 1e9));
  if (attempts || seconds) {
    budget = {};  // what the command line says replaces the file's budget as a whole
  }
  budget.attempts = attempts.value_or(budget.attempts);
  if (seconds) {
    budget.seconds = Nanoseconds(std::llround(*seconds * 1e9));
  }
  return {};
}

Result<void> take_numbers(const Arguments& arguments, RunConfig& config) {
  COPPICE_TRY(const auto seed, arguments.unsigned_integer("--seed"));
  config.seed = seed.value_or(config.seed);
  COPPICE_TRY(const auto lanes, arguments.integer("--lanes", 1, 1024));
  config.search.lanes = static_cast<int>(lanes.value_or(config.search.lanes));
  COPPICE_TRY(const auto finalists, arguments.integer("--finalists", 0, 64));
  config.search.finalists = static_cast<int>(finalists.value_or(config.search.finalists));
  return take_budget(arguments, config.search.budget);
}

Result<search::Strategy> strategy_of(const std::string& name) {
  const Result<search::Strategy> strategy = strategy_named(name);
  if (!strategy.ok()) {
    return Error{
        ErrorCode::usage,
        "strategy: expected one of coppice, random, hillclimb, best-of-n, default, found \"" +
            name + "\""};
  }
  return strategy;
}

Result<RunConfig> configure(const Arguments& arguments, const Places& places) {
  COPPICE_TRY(const std::string path, places.find_config(arguments.text("CONFIG")));
  COPPICE_TRY(RunConfig config, load_run_config(path));
  COPPICE_TRY_VOID(take_numbers(arguments, config));
  if (arguments.has("--strategy")) {
    COPPICE_TRY(config.search.strategy, strategy_of(arguments.text("--strategy")));
  }
  config.suite = arguments.text("--suite", config.suite);
  if (arguments.has("--templates")) {
    config.templates = arguments.list("--templates");
  }
  if (arguments.has("--compare")) {
    config.compare = arguments.list("--compare");
  }
  for (const std::string& name : config.compare) {
    const Result<search::Strategy> strategy = strategy_of(name);
    if (!strategy.ok()) {
      return strategy.error().within("--compare");
    }
  }
  if (arguments.has("--llm")) {
    config.llm = arguments.text("--llm");
  }
  if (arguments.has("--warm")) {
    config.warm_start = arguments.list("--warm");
  }
  if (!config.warm_start.empty() && config.search.strategy != search::Strategy::coppice) {
    return Error{ErrorCode::usage, "--warm: only strategy coppice can start from logs"};
  }
  for (const std::string& folder : arguments.list("--seed-kernel")) {
    config.seed_kernels.push_back(folder);
  }
  return config;
}

struct World {
  std::unique_ptr<evaluators::Evaluator> evaluator;
  SteadyClock clock;
  TbbExecutor executor;
  Interrupts interrupts;
};

// Answers of language models that are used again, and new ones kept; null without the option.
Result<std::shared_ptr<llm::Cassette>> cassette_of(const Arguments& arguments,
                                                   const RunMaterial& material) {
  if (!arguments.has("--llm-cassette")) {
    return std::shared_ptr<llm::Cassette>();
  }
  if (!material.llm) {
    return Error{ErrorCode::usage, "--llm-cassette: this run asks no language model (--llm NAME)"};
  }
  const bool records = std::ranges::any_of(
      material.llm->models, [](const LlmModel& model) { return model.provider != "cassette"; });
  COPPICE_TRY(auto cassette, llm::Cassette::open(arguments.text("--llm-cassette"), records));
  return std::shared_ptr<llm::Cassette>(std::move(cassette));
}

std::string lead_of(const RunConfig& config, bool several) {
  return several ? std::string(search::to_text(config.search.strategy)) + ": " : std::string();
}

// Runs the other strategies on the same budget and times all winners in turn.
Result<std::vector<Against>> run_others(const RunMaterial& material,
                                        const SessionResult& first,
                                        const archive::RunStore& store,
                                        SessionWorld world,
                                        const std::string& base) {
  std::vector<RunReader> others;
  for (const std::string& name : material.config.compare) {
    RunMaterial other = material;
    COPPICE_TRY(other.config.search.strategy, strategy_of(name));
    other.config.compare.clear();
    other.config.llm = "off";  // rules alone
    other.config.search.llm = {};
    other.config.warm_start.clear();
    other.warm.clear();
    other.llm.reset();
    if (other.config.search.strategy == material.config.search.strategy) {
      continue;
    }
    world.prefix = lead_of(other.config, true);
    const std::string other_base =
        base + "_" + std::string(search::to_text(other.config.search.strategy));
    COPPICE_TRY(const SessionResult result,
                start_run(store, other_base, other, first.baselines, world));
    if (result.end.interrupted) {
      break;
    }
    COPPICE_TRY(RunReader reader, RunReader::open(store, result.run));
    others.push_back(std::move(reader));
  }
  COPPICE_TRY(const RunReader mine, RunReader::open(store, first.run));
  world.console.show_progress("timing the winners in turn");
  std::vector<Against> against = retime_winners(mine, others, world.evaluator, std::stop_token());
  world.console.clear_progress();
  COPPICE_TRY_VOID(archive::write_comparison(mine.log(), against));
  return against;
}

Result<int> run_body(const Arguments& arguments, Console& console) {
  const Places places = Places::standard();
  COPPICE_TRY(const RunConfig config, configure(arguments, places));
  if (!config.tasks.empty()) {
    return run_shared(arguments, config, places, console);
  }
  COPPICE_TRY(RunMaterial material, gather(config, places));
  if (arguments.has("--dry-run")) {
    COPPICE_TRY(const Json plan, dry_run(material));
    console.answer(arguments.has("--json") ? plan.dump() : dry_run_text(plan));
    return 0;
  }
  COPPICE_TRY(const auto cassette, cassette_of(arguments, material));
  const std::string folder = arguments.text("--archive", kDefaultArchive);
  const auto known = archive::RunStore::open(folder, archive::RunStore::Access::read);
  if (known.ok() || known.error().code != ErrorCode::missing) {
    // One that takes no run is said before anything is compiled or timed.
    COPPICE_TRY_VOID(archive::RunStore::open(folder, archive::RunStore::Access::create));
  }
  COPPICE_TRY(material.warm,
              warm_data(config.warm_start, material.op.name, known.ok() ? &*known : nullptr));
  if (material.warm.empty() && !config.warm_start.empty()) {
    console.say("there is no earlier run of " + material.op.name + " to start from");
  }
  for (const LeftOut& left : material.templates.left_out) {
    console.say("template " + left.template_name + " is left out: " + left.reason);
  }
  World world;
  COPPICE_TRY(world.evaluator, make_evaluator(material));
  // Not before: a machine that can't evaluate gets no archive.
  COPPICE_TRY(const archive::RunStore store,
              archive::RunStore::open(folder, archive::RunStore::Access::create));
  const SessionWorld session{*world.evaluator,
                             world.clock,
                             world.executor,
                             console,
                             [] { return Interrupts::count(); },
                             lead_of(config, !config.compare.empty()),
                             cassette};
  const std::string base = std::filesystem::path(arguments.text("CONFIG")).stem().string();
  COPPICE_TRY(const SessionResult result, start_run(store, base, material, {}, session));
  std::vector<Against> against;
  if (!result.end.interrupted && !config.compare.empty()) {
    COPPICE_TRY(against, run_others(material, result, store, session, base));
  }
  COPPICE_TRY(const RunReader reader, RunReader::open(store, result.run));
  if (arguments.has("--json")) {
    console.answer(run_answer(reader, against).dump());
  } else {
    console.answer(run_summary_text(reader, against));
    console.say("next: coppice report " + result.run + ", coppice best " + result.run +
                " --source, coppice replay " + result.run);
  }
  if (result.end.interrupted) {
    console.say("interrupted; everything is kept, go on with: coppice resume " + result.run);
    return exit_status(ErrorCode::interrupted);
  }
  return reader.best() == nullptr ? 1 : 0;
}

}  // namespace

Command run_command() {
  Command command;
  command.name = "run";
  command.summary =
      "search for the fastest correct kernel, or for those of many tasks on one budget";
  command.example = "coppice run configs/quickstart.json --compare random";
  command.positionals = {{"CONFIG", "a file, or the name of one in configs/", true}};
  command.options = {
      {"--strategy",
       "NAME",
       "coppice, random, hillclimb, best-of-n, default",
       "the config's",
       false},
      {"--attempts",
       "N",
       "budget in candidates; replaces the config's budget",
       "the config's",
       false},
      {"--seconds", "S", "budget in seconds; replaces the config's budget", "the config's", false},
      {"--lanes", "N", "attempts in flight at most", "the config's", false},
      {"--finalists", "N", "candidates timed again at the end", "the config's", false},
      {"--suite", "NAME", "suite of the op", "the config's", false},
      {"--templates", "A,B", "only these templates", "all", true},
      {"--compare", "A,B", "run these strategies too, on the same budget", "the config's", true},
      {"--seed-kernel", "DIR", "start from this kernel of yours too", "none", true},
      {"--warm",
       "A,B",
       "start from these logs too: recorded tables, runs by name or folder; archive: the archive's "
       "newest runs of this op",
       "the config's",
       true},
      {"--llm", "NAME", "profile in configs/llm, a file, or off", "the config's", false},
      {"--llm-cassette", "FILE", "use the answers recorded here, record new ones", "none", false},
      {"--dry-run",
       "",
       "say what would be searched, what it may cost, and how tasks would share the budget at "
       "first, then stop",
       "",
       false},
      {"--seed", "N", "of all random choices", "the config's", false},
  };
  command.body = run_body;
  return command;
}

}  // namespace coppice::cli
