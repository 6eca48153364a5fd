// Plays searches on recorded tables, and sums up how soon each was good.
#include "cli/simulate.h"

#include "cli/simulated_world.h"
#include "core/pinned_math.h"
#include "evaluators/recorded_evaluator.h"
#include "search/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <set>

namespace coppice::cli {

namespace {

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

Evidence simulated_evidence(const Proposed& proposed, const evaluators::RecordedOutcome* outcome) {
  Evidence out = evaluators::recorded_evidence(outcome);
  out.attempt = proposed.attempt;
  out.candidate = proposed.candidate;
  out.fidelity = proposed.fidelity;
  return out;
}

// The program's own engine with some attempts in flight; a virtual clock lets them arrive by what
// they cost when they were recorded. Points that it asks for twice are free; a series of them that
// brings nothing new ends the search.
class EnginePlay {
 public:
  EnginePlay(SimulatedWorld& world, SimulatedSearch& search, search::Engine engine, int lanes)
      : world_(world), search_(search), engine_(std::move(engine)) {
    for (int lane = 0; lane < lanes; ++lane) {
      free_.push_back(lane);
    }
  }

  void run() {
    constexpr int kMostRepeats = 1000;
    bool more = true;
    while (!world_.done() && repeats_ < kMostRepeats) {
      while (more && !free_.empty()) {
        more = begin();
      }
      if (flying_.empty()) {
        return;
      }
      land();
      more = true;
    }
  }

 private:
  struct Flight {
    double ends = 0.0;
    std::uint64_t order = 0;
    Proposed proposed;
    bool operator<(const Flight& other) const {
      return ends != other.ends ? ends < other.ends : order < other.order;
    }
  };

  // Asks for work; false when there is none before something arrives.
  bool begin() {
    const int lane = free_.front();
    const std::vector<Event> out = engine_.handle(WorkRequested{lane});
    const Proposed* proposed = out.empty() ? nullptr : std::get_if<Proposed>(&out.back());
    if (proposed == nullptr) {
      return false;
    }
    free_.erase(free_.begin());
    const evaluators::RecordedOutcome* outcome = world_.outcome(proposed->spec.genome);
    const double seconds =
        outcome != nullptr ? outcome->compile_seconds + outcome->run_seconds : 0.0;
    flying_.insert({now_ + seconds, ++begun_, *proposed});
    return true;
  }

  void land() {
    const Flight flight = *flying_.begin();
    flying_.erase(flying_.begin());
    now_ = flight.ends;
    const Genome& genome = flight.proposed.spec.genome;
    repeats_ = world_.known(genome) ? repeats_ + 1 : 0;
    world_.evaluate(genome);
    const auto& prediction = flight.proposed.prediction;
    const evaluators::RecordedOutcome* outcome = world_.outcome(genome);
    if (prediction && prediction->spread > 0.0 && outcome != nullptr && outcome->valid &&
        static_cast<std::int64_t>(world_.best().size()) > kSettled) {
      search_.coverage.take(pinned::log(outcome->milliseconds), *prediction);
    }
    engine_.handle(Evaluated{simulated_evidence(flight.proposed, outcome)});
    free_.push_back(flight.proposed.lane);
    std::sort(free_.begin(), free_.end());
  }

  SimulatedWorld& world_;
  SimulatedSearch& search_;
  search::Engine engine_;
  std::vector<int> free_;
  std::set<Flight> flying_;
  double now_ = 0.0;
  std::uint64_t begun_ = 0;
  int repeats_ = 0;
};

Result<void> switch_off(const std::string& name, search::SearchOptions& options) {
  struct Switch {
    std::string_view name;
    bool search::SearchOptions::*on;
  };
  constexpr Switch kSwitches[] = {{"world_model", &search::SearchOptions::world_model},
                                  {"frontier", &search::SearchOptions::frontier},
                                  {"evolution", &search::SearchOptions::evolution},
                                  {"memory", &search::SearchOptions::memory},
                                  {"tree", &search::SearchOptions::tree},
                                  {"warm", &search::SearchOptions::warm}};
  for (const Switch& one : kSwitches) {
    if (one.name == name) {
      options.*one.on = false;
      return {};
    }
  }
  return Error{
      ErrorCode::usage,
      fmt::format("--off: expected some of world_model, frontier, evolution, memory, tree, "
                  "warm, found \"{}\"",
                  name)};
}

Result<void> play_engine(SimulatedWorld& world,
                         SimulatedSearch& search,
                         const TemplateSpace& space,
                         const SimulationOptions& options) {
  search::EngineSetup setup;
  setup.seed = search.seed;
  setup.templates = {space};
  COPPICE_TRY(setup.options.strategy, search::strategy(options.strategy));
  setup.options.budget.attempts = 1'000'000'000;
  setup.options.finalists = 0;
  setup.options.promote = false;
  setup.options.lanes = options.lanes;
  for (const std::string& name : options.off) {
    COPPICE_TRY_VOID(switch_off(name, setup.options));
  }
  setup.warm = options.warm;
  InlineExecutor executor;
  COPPICE_TRY(search::Engine engine, search::Engine::create(std::move(setup), executor));
  EnginePlay(world, search, std::move(engine), options.lanes).run();
  return {};
}

Result<void> play(SimulatedWorld& world,
                  SimulatedSearch& search,
                  const TemplateSpace& space,
                  const SimulationOptions& options) {
  const std::uint64_t seed = search.seed;
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
  return play_engine(world, search, space, options);
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

// What these options ask for can be played.
Result<void> permitted(const SimulationOptions& options) {
  const auto& names = simulated_strategies();
  const bool order = options.strategy == "log_order";
  if (!order && std::find(names.begin(), names.end(), options.strategy) == names.end()) {
    return Error{ErrorCode::usage,
                 fmt::format("--strategy: expected one of {}, log_order, found \"{}\"",
                             fmt::join(names, ", "),
                             options.strategy)};
  }
  const bool engine = options.strategy == "coppice" || options.strategy == "random" ||
                      options.strategy == "hillclimb";
  if (options.lanes > 1 && !engine) {
    return Error{ErrorCode::usage,
                 "--lanes: only the engine's own strategies (coppice, random, hillclimb) have "
                 "attempts in flight, found --strategy " +
                     options.strategy};
  }
  if (!options.warm.empty() && options.strategy != "coppice" && !order) {
    return Error{ErrorCode::usage,
                 "--warm: only strategies coppice and log_order can start from logs, found "
                 "--strategy " +
                     options.strategy};
  }
  if (!options.off.empty() && options.strategy != "coppice") {
    return Error{ErrorCode::usage,
                 "--off: only strategy coppice has parts to do without, found --strategy " +
                     options.strategy};
  }
  if (options.warm.empty() && order) {
    return Error{ErrorCode::usage, "--strategy log_order: expected logs (--warm), found none"};
  }
  return {};
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
  COPPICE_TRY_VOID(permitted(options));
  Simulation out;
  for (const Json& source : options.warm) {
    COPPICE_TRY(std::string name, source.reader("warm-start data").text_or("name", ""));
    out.warm.push_back(std::move(name));
  }
  out.table = table.name();
  out.strategy = options.strategy;
  out.off = options.off;
  out.configurations = table.size();
  out.valid = table.valid_count();
  out.budget = options.budget;
  out.lanes = options.lanes;
  out.optimum = table.optimum_milliseconds();
  const auto seeds = static_cast<std::size_t>(options.seeds);
  out.searches.resize(seeds);
  std::vector<Result<void>> ends(seeds);
  executor.parallel_for(seeds, [&](std::size_t i) {
    SimulatedSearch& search = out.searches[i];
    search.seed = stream(options.seed, "simulate", i).next();
    SimulatedWorld world(table, options.budget);
    const double begun = thread_seconds();
    ends[i] = play(world, search, table.space(), options);
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
    out.coverage.predictions += search.coverage.predictions;
    out.coverage.within_50 += search.coverage.within_50;
    out.coverage.within_80 += search.coverage.within_80;
    out.coverage.within_95 += search.coverage.within_95;
  }
  out.median_to_5pct = median_of(std::move(to_5));
  out.median_to_1pct = median_of(std::move(to_1));
  return out;
}

Json to_json(const Simulation& simulation) {
  const SimulationSummary sum = summarise(simulation);
  Json out = Json::object();
  out.set("table", simulation.table).set("strategy", simulation.strategy);
  const auto texts = [](const std::vector<std::string>& names) {
    return Json::array_of(names, [](const std::string& name) { return Json(name); });
  };
  out.set("warm", texts(simulation.warm)).set("off", texts(simulation.off));
  out.set("seeds", simulation.searches.size()).set("configurations", simulation.configurations);
  out.set("valid", simulation.valid).set("optimum", simulation.optimum);
  out.set("budget", simulation.budget).set("lanes", simulation.lanes);
  out.set("fraction", by_mark([&](std::size_t i) { return sum.fraction[i]; }));
  out.set("worst", by_mark([&](std::size_t i) { return sum.worst[i]; }));
  out.set("median_to_5pct", optional_json(sum.median_to_5pct));
  out.set("median_to_1pct", optional_json(sum.median_to_1pct));
  out.set("within_5pct_at_200", sum.within_5pct_at_200);
  out.set("planner_ms_per_evaluation", sum.planner_ms_per_evaluation);
  out.set("coverage_after_50", to_json(sum.coverage));
  out.set("per_seed", Json::array_of(simulation.searches, [&](const SimulatedSearch& search) {
            return search_json(simulation, search);
          }));
  return out;
}

}  // namespace coppice::cli
