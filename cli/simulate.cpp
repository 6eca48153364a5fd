// Plays searches on recorded tables, and sums up how soon each was good.
#include "cli/simulate.h"

#include "cli/simulated_world.h"
#include "core/pinned_math.h"
#include "search/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>

namespace coppice::cli {

namespace {

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

Evidence recorded_evidence(const Proposed& proposed, const evaluators::RecordedOutcome* outcome) {
  Evidence out;
  out.attempt = proposed.attempt;
  out.candidate = proposed.candidate;
  out.fidelity = proposed.fidelity;
  if (outcome == nullptr) {
    out.verdict.gate = Gate::resources;
    out.verdict.failure = FailureClass::plan_invalid;
    return out;
  }
  out.cost.compile = Nanoseconds(std::llround(outcome->compile_seconds * 1e9));
  out.cost.device = Nanoseconds(std::llround(outcome->run_seconds * 1e9));
  out.verdict.valid = outcome->valid;
  out.verdict.gate = outcome->valid ? Gate::evidence : outcome->gate;
  out.verdict.failure = outcome->failure;
  if (outcome->valid) {
    out.performance = Performance{};
    out.performance->log_cost = pinned::log(outcome->milliseconds);
    out.performance->log_noise = outcome->log_noise;
  }
  return out;
}

// The program's own engine. Points that it asks for twice are free; a series of them that brings
// nothing new ends the search.
Result<void> play_engine(SimulatedWorld& world,
                         const TemplateSpace& space,
                         search::Strategy strategy,
                         const std::vector<Json>& warm,
                         std::uint64_t seed) {
  constexpr int kMostRepeats = 1000;
  search::EngineSetup setup;
  setup.seed = seed;
  setup.templates = {space};
  setup.options.strategy = strategy;
  setup.options.budget.attempts = 1'000'000'000;
  setup.options.finalists = 0;
  setup.options.promote = false;
  setup.warm = warm;
  InlineExecutor executor;
  COPPICE_TRY(search::Engine engine, search::Engine::create(std::move(setup), executor));
  int repeats = 0;
  while (!world.done() && repeats < kMostRepeats) {
    const std::vector<Event> out = engine.handle(WorkRequested{0});
    const Proposed* proposed = out.empty() ? nullptr : std::get_if<Proposed>(&out.back());
    if (proposed == nullptr) {
      break;
    }
    const Genome genome = proposed->spec.genome;
    repeats = world.known(genome) ? repeats + 1 : 0;
    world.evaluate(genome);
    engine.handle(Evaluated{recorded_evidence(*proposed, world.outcome(genome))});
  }
  return {};
}

Result<void> play(SimulatedWorld& world,
                  const TemplateSpace& space,
                  const SimulationOptions& options,
                  std::uint64_t seed) {
  const std::string& strategy = options.strategy;
  if (strategy == "genetic") {
    play_genetic(world, seed);
    return {};
  }
  if (strategy == "annealing") {
    play_annealing(world, seed);
    return {};
  }
  if (strategy == "gp") {
    play_gp(world, seed, space);
    return {};
  }
  if (strategy == "log_order") {
    std::vector<planner::WarmSource> logs;
    for (const Json& source : options.warm) {
      COPPICE_TRY(planner::WarmSource log, planner::warm_source(source.reader("warm-start data")));
      logs.push_back(std::move(log));
    }
    play_log_order(world, space, std::move(logs));
    return {};
  }
  COPPICE_TRY(const search::Strategy named, search::strategy(strategy));
  return play_engine(world, space, named, options.warm, seed);
}

double ms_per_evaluation(const SimulatedSearch& search) {
  return search.best.empty()
             ? 0.0
             : 1e3 * search.planner_seconds / static_cast<double>(search.best.size());
}

// The median of counts of which some are missing (never): absent when the middle is.
std::optional<double> median_of(std::vector<std::optional<std::int64_t>> counts) {
  std::sort(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
    return a.has_value() != b.has_value() ? a.has_value() : a < b;
  });
  const std::size_t n = counts.size();
  if (n == 0 || !counts[n / 2]) {
    return std::nullopt;
  }
  const auto high = static_cast<double>(*counts[n / 2]);
  return n % 2 == 1 ? high : 0.5 * (high + static_cast<double>(*counts[n / 2 - 1]));
}

template <class T>
Json optional_json(const std::optional<T>& number) {
  return number ? Json(*number) : Json();
}

template <class At>
Json by_mark(At at) {
  Json out = Json::object();
  for (std::size_t i = 0; i < kSimulationMarks.size(); ++i) {
    out.set(std::to_string(kSimulationMarks[i]), optional_json(at(i)));
  }
  return out;
}

Json search_json(const Simulation& simulation, const SimulatedSearch& search) {
  Json fraction = by_mark([&](std::size_t i) {
    return kSimulationMarks[i] <= simulation.budget
               ? std::optional<double>(fraction_at(simulation, search, kSimulationMarks[i]))
               : std::nullopt;
  });
  return Json::object()
      .set("seed", std::to_string(search.seed))
      .set("evaluations", search.best.size())
      .set("fraction", std::move(fraction))
      .set("to_5pct", optional_json(evaluations_to(simulation, search, 0.05)))
      .set("to_1pct", optional_json(evaluations_to(simulation, search, 0.01)))
      .set("planner_ms_per_evaluation", ms_per_evaluation(search));
}

}  // namespace

const std::vector<std::string>& simulated_strategies() {
  static const std::vector<std::string> names = {
      "coppice", "random", "hillclimb", "genetic", "annealing", "gp"};
  return names;
}

Result<Simulation> simulate(const evaluators::RecordedTable& table,
                            const SimulationOptions& options,
                            Executor& executor) {
  const auto& names = simulated_strategies();
  const bool order = options.strategy == "log_order";
  if (!order && std::find(names.begin(), names.end(), options.strategy) == names.end()) {
    return Error{ErrorCode::usage,
                 fmt::format("--strategy: expected one of {}, log_order, found \"{}\"",
                             fmt::join(names, ", "),
                             options.strategy)};
  }
  if (!options.warm.empty() && options.strategy != "coppice" && !order) {
    return Error{ErrorCode::usage,
                 "--warm: only strategies coppice and log_order can start from logs, found "
                 "--strategy " +
                     options.strategy};
  }
  if (options.warm.empty() && order) {
    return Error{ErrorCode::usage, "--strategy log_order: expected logs (--warm), found none"};
  }
  Simulation out;
  for (const Json& source : options.warm) {
    COPPICE_TRY(std::string name, source.reader("warm-start data").text_or("name", ""));
    out.warm.push_back(std::move(name));
  }
  out.table = table.name();
  out.strategy = options.strategy;
  out.configurations = table.size();
  out.valid = table.valid_count();
  out.budget = options.budget;
  out.optimum = table.optimum_milliseconds();
  const auto seeds = static_cast<std::size_t>(options.seeds);
  out.searches.resize(seeds);
  std::vector<Result<void>> ends(seeds);
  executor.parallel_for(seeds, [&](std::size_t i) {
    SimulatedSearch& search = out.searches[i];
    search.seed = stream(options.seed, "simulate", i).next();
    SimulatedWorld world(table, options.budget);
    const double begun = thread_seconds();
    ends[i] = play(world, table.space(), options, search.seed);
    search.planner_seconds = thread_seconds() - begun;
    search.best = world.best();
  });
  for (const Result<void>& end : ends) {
    COPPICE_TRY_VOID(end);
  }
  return out;
}

double fraction_at(const Simulation& simulation,
                   const SimulatedSearch& search,
                   std::int64_t evaluations) {
  if (search.best.empty()) {
    return 0.0;
  }
  const std::size_t at = std::min(static_cast<std::size_t>(evaluations), search.best.size()) - 1;
  return simulation.optimum / search.best[at];  // infinity: 0
}

std::optional<std::int64_t> evaluations_to(const Simulation& simulation,
                                           const SimulatedSearch& search,
                                           double share) {
  const double limit = simulation.optimum * (1.0 + share);
  for (std::size_t i = 0; i < search.best.size(); ++i) {
    if (search.best[i] <= limit) {
      return static_cast<std::int64_t>(i) + 1;
    }
  }
  return std::nullopt;
}

SimulationSummary summarise(const Simulation& simulation) {
  SimulationSummary out;
  const auto seeds = static_cast<double>(std::max<std::size_t>(1, simulation.searches.size()));
  for (std::size_t i = 0; i < kSimulationMarks.size(); ++i) {
    if (kSimulationMarks[i] > simulation.budget) {
      continue;
    }
    double sum = 0.0;
    double least = 1.0;
    for (const SimulatedSearch& search : simulation.searches) {
      const double one = fraction_at(simulation, search, kSimulationMarks[i]);
      sum += one;
      least = std::min(least, one);
    }
    out.fraction[i] = sum / seeds;
    out.worst[i] = least;
  }
  std::vector<std::optional<std::int64_t>> to_5, to_1;
  for (const SimulatedSearch& search : simulation.searches) {
    to_5.push_back(evaluations_to(simulation, search, 0.05));
    to_1.push_back(evaluations_to(simulation, search, 0.01));
    out.within_5pct_at_200 += to_5.back() && *to_5.back() <= 200 ? 1.0 / seeds : 0.0;
    out.planner_ms_per_evaluation += ms_per_evaluation(search) / seeds;
  }
  out.median_to_5pct = median_of(std::move(to_5));
  out.median_to_1pct = median_of(std::move(to_1));
  return out;
}

Json to_json(const Simulation& simulation) {
  const SimulationSummary sum = summarise(simulation);
  Json out = Json::object();
  out.set("table", simulation.table).set("strategy", simulation.strategy);
  out.set("warm",
          Json::array_of(simulation.warm, [](const std::string& name) { return Json(name); }));
  out.set("seeds", simulation.searches.size()).set("configurations", simulation.configurations);
  out.set("valid", simulation.valid).set("optimum", simulation.optimum);
  out.set("budget", simulation.budget);
  out.set("fraction", by_mark([&](std::size_t i) { return sum.fraction[i]; }));
  out.set("worst", by_mark([&](std::size_t i) { return sum.worst[i]; }));
  out.set("median_to_5pct", optional_json(sum.median_to_5pct));
  out.set("median_to_1pct", optional_json(sum.median_to_1pct));
  out.set("within_5pct_at_200", sum.within_5pct_at_200);
  out.set("planner_ms_per_evaluation", sum.planner_ms_per_evaluation);
  out.set("per_seed", Json::array_of(simulation.searches, [&](const SimulatedSearch& search) {
            return search_json(simulation, search);
          }));
  return out;
}

}  // namespace coppice::cli
