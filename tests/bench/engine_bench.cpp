// Measures the engine: cost per attempt on a recorded table and on 10^6 points, the tree, and how
// soon each strategy is good. Usage: bench_engine TABLE... [--seeds N] [--quick]. Prints JSON.
#include "core/pinned_math.h"
#include "core/random.h"
#include "evaluators/recorded_table.h"
#include "search/engine.h"
#include "search/tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

using namespace coppice;
using search::Strategy;

namespace {

using Watch = std::chrono::steady_clock;

double milliseconds_since(Watch::time_point start) {
  return std::chrono::duration<double, std::milli>(Watch::now() - start).count();
}

template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    fmt::print(stderr, "{}\n", result.error().message);
    std::exit(3);
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(result).value();
  }
}

double resident_megabytes() {
  std::ifstream file("/proc/self/statm");
  long pages = 0;
  long resident = 0;
  file >> pages >> resident;
  return static_cast<double>(resident) * 4096.0 / 1e6;
}

struct Outcome {
  bool valid = false;
  double log_cost = 0.0;
  FailureClass failure = FailureClass::crash;
  double seconds = 0.0;
};
using World = std::function<Outcome(const Genome&)>;

Evidence evidence_of(const Proposed& proposed, const Outcome& outcome) {
  Evidence evidence;
  evidence.attempt = proposed.attempt;
  evidence.candidate = proposed.candidate;
  evidence.fidelity = proposed.fidelity;
  evidence.cost.device = Nanoseconds(static_cast<std::int64_t>(outcome.seconds * 1e9));
  evidence.verdict.valid = outcome.valid;
  evidence.verdict.gate = outcome.valid ? Gate::physics : Gate::smoke;
  evidence.verdict.failure = outcome.valid ? FailureClass::none : outcome.failure;
  if (outcome.valid) {
    evidence.performance = Performance{};
    evidence.performance->log_cost = outcome.log_cost;
  }
  return evidence;
}

struct Mark {
  std::int64_t attempts = 0;
  double milliseconds = 0.0;  // per attempt, over the stretch that ends here
  double megabytes = 0.0;
};

struct Run {
  std::vector<double> best;  // log cost after each attempt; inf before the first valid one
  std::vector<Mark> marks;
};

// Plays a whole search; `codec` also encodes every event, as a log would.
Run play(search::EngineSetup setup,
         const World& world,
         bool codec,
         std::vector<std::int64_t> marks) {
  setup.options.finalists = 0;
  setup.options.promote = false;
  InlineExecutor executor;
  search::Engine engine = must(search::Engine::create(std::move(setup), executor));
  Run run;
  double best = HUGE_VAL;
  std::size_t bytes = 0;
  std::int64_t attempts = 0;
  std::int64_t last = 0;
  double spent = 0.0;
  const auto feed = [&](const Event& input) {
    const auto start = Watch::now();
    std::vector<Event> out = engine.handle(input);
    if (codec) {
      bytes += encode(input).size();
      for (const Event& event : out) {
        bytes += encode(event).size();
      }
    }
    spent += milliseconds_since(start);
    return out;
  };
  for (;;) {
    const std::vector<Event> out = feed(WorkRequested{0});
    const Proposed* proposed = std::get_if<Proposed>(&out.back());
    if (proposed == nullptr) {
      break;
    }
    const Outcome outcome = world(proposed->spec.genome);
    best = outcome.valid ? std::min(best, outcome.log_cost) : best;
    feed(Evaluated{evidence_of(*proposed, outcome)});
    run.best.push_back(best);
    ++attempts;
    if (std::find(marks.begin(), marks.end(), attempts) != marks.end()) {
      run.marks.push_back(
          {attempts, spent / static_cast<double>(attempts - last), resident_megabytes()});
      spent = 0.0;
      last = attempts;
    }
  }
  return run;
}

Json marks_json(const std::vector<Mark>& marks) {
  return Json::array_of(marks, [](const Mark& mark) {
    return Json::object()
        .set("attempts", mark.attempts)
        .set("ms_per_attempt", mark.milliseconds)
        .set("resident_mb", mark.megabytes);
  });
}

search::EngineSetup setup_of(const TemplateSpace& space,
                             Strategy strategy,
                             std::int64_t attempts,
                             std::uint64_t seed) {
  search::EngineSetup setup;
  setup.seed = seed;
  setup.templates = {space};
  setup.options.strategy = strategy;
  setup.options.budget.attempts = attempts;
  return setup;
}

World table_world(const evaluators::RecordedTable& table) {
  return [&table](const Genome& genome) {
    const evaluators::RecordedOutcome* found = table.find(genome);
    Outcome outcome;
    if (found != nullptr) {
      outcome.valid = found->valid;
      outcome.log_cost = found->valid ? pinned::log(found->milliseconds) : 0.0;
      outcome.failure = found->failure;
      outcome.seconds = found->compile_seconds + found->run_seconds;
    }
    return outcome;
  };
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

// Attempts until a curve is at or below the cost; twice its length when it never gets there.
double attempts_to(const std::vector<double>& best, double cost) {
  for (std::size_t i = 0; i < best.size(); ++i) {
    if (best[i] <= cost) {
      return static_cast<double>(i + 1);
    }
  }
  return 2.0 * static_cast<double>(best.size());
}

Json compare(const evaluators::RecordedTable& table, int seeds, std::int64_t budget) {
  const double optimum = pinned::log(table.optimum_milliseconds());
  const World world = table_world(table);
  std::vector<std::vector<double>> random;
  Json rows = Json::array();
  for (const Strategy strategy : {Strategy::random, Strategy::hillclimb, Strategy::coppice}) {
    Json fractions = Json::object();
    std::vector<std::vector<double>> curves;
    double spent = 0.0;
    for (int seed = 0; seed < seeds; ++seed) {
      Run run =
          play(setup_of(table.space(), strategy, budget, 1000U + seed), world, false, {budget});
      spent += run.marks.empty() ? 0.0 : run.marks[0].milliseconds;
      curves.push_back(std::move(run.best));
    }
    if (strategy == Strategy::random) {
      random = curves;
    }
    for (const std::size_t at : {20, 50, 100, 200}) {
      double sum = 0.0;
      for (const auto& curve : curves) {
        sum += at <= curve.size() ? pinned::exp(optimum - curve[at - 1]) : 1.0;
      }
      fractions.set(std::to_string(at), sum / seeds);
    }
    std::vector<double> to_random;
    std::vector<double> to_5;
    std::vector<double> to_1;
    for (std::size_t i = 0; i < curves.size(); ++i) {
      to_random.push_back(attempts_to(curves[i], random[i].back()) /
                          attempts_to(random[i], random[i].back()));
      to_5.push_back(attempts_to(curves[i], optimum + pinned::log(1.05)));
      to_1.push_back(attempts_to(curves[i], optimum + pinned::log(1.01)));
    }
    rows.push(Json::object()
                  .set("strategy", search::to_text(strategy))
                  .set("fraction", fractions)
                  .set("attempts_to_randoms_best", median(to_random))
                  .set("median_to_5pct", median(to_5))
                  .set("median_to_1pct", median(to_1))
                  .set("ms_per_attempt", spent / seeds));
  }
  return Json::object()
      .set("table", table.name())
      .set("seeds", seeds)
      .set("budget", budget)
      .set("strategies", rows);
}

// Ten axes of four levels: 2^20 points, too many to list.
TemplateSpace synthetic() {
  std::vector<Axis> axes;
  for (int i = 0; i < 10; ++i) {
    Axis axis;
    axis.name = "a" + std::to_string(i);
    axis.levels = {std::int64_t{1}, std::int64_t{2}, std::int64_t{4}, std::int64_t{8}};
    axes.push_back(std::move(axis));
  }
  TemplateSpace out;
  out.name = "synthetic";
  out.space = must(AxisSpace::create(std::move(axes), {must(Expr::parse("a0 * a1 <= 32"))}));
  return out;
}

Outcome synthetic_world(const Genome& genome) {
  Outcome outcome;
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < genome.levels.size(); ++i) {
    hash = mix64(hash ^ (genome.levels[i] + 7U));
    outcome.log_cost += 0.1 * std::fabs(genome.levels[i] - static_cast<double>(i % 4));
  }
  outcome.valid = hash % 11 != 0;
  outcome.log_cost += static_cast<double>(hash % 1000) * 1e-4;
  return outcome;
}

Json tree_times() {
  search::Tree tree;
  Rng rng = stream(1, "engine_bench", 0);
  const auto insert = [&](std::uint64_t parent, NodeKind kind) {
    Insert edit;
    edit.node = tree.next_id();
    edit.parent = {parent};
    edit.kind = kind;
    edit.template_name = kind == NodeKind::root ? "" : "t";
    edit.priority = rng.uniform();
    edit.reason = "bench";
    must(tree.apply(edit));
  };
  insert(0, NodeKind::root);
  insert(1, NodeKind::template_root);
  while (tree.size() < 5000) {
    insert(2 + rng.below(tree.size() - 1), NodeKind::axis_focus);
  }
  const int rounds = 2000;
  double worst_select = 0.0;
  double worst_edit = 0.0;
  double selects = 0.0;
  double edits = 0.0;
  for (int i = 0; i < rounds; ++i) {
    auto start = Watch::now();
    const NodeId node = tree.select().value_or(NodeId{2});
    const double select = milliseconds_since(start);
    Update update;
    update.node = node;
    update.priority = rng.uniform();
    update.reason = "bench";
    start = Watch::now();
    must(tree.apply(update));
    const double edit = milliseconds_since(start);
    selects += select;
    edits += edit;
    worst_select = std::max(worst_select, select);
    worst_edit = std::max(worst_edit, edit);
  }
  return Json::object()
      .set("nodes", static_cast<std::int64_t>(tree.size()))
      .set("select_ms_mean", selects / rounds)
      .set("select_ms_worst", worst_select)
      .set("edit_ms_mean", edits / rounds)
      .set("edit_ms_worst", worst_edit);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> paths;
  int seeds = 25;
  bool compares = true;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--seeds" && i + 1 < argc) {
      seeds = std::atoi(argv[++i]);
    } else if (word == "--quick") {
      compares = false;
    } else {
      paths.push_back(word);
    }
  }
  Json out = Json::object();
  out.set("tree", tree_times());
  Json cheap = Json::array();
  for (const Strategy strategy : {Strategy::random, Strategy::hillclimb}) {
    const Run run = play(setup_of(synthetic(), strategy, 100000, 1),
                         synthetic_world,
                         true,
                         {1000, 10000, 50000, 99000, 100000});
    cheap.push(Json::object()
                   .set("strategy", search::to_text(strategy))
                   .set("marks", marks_json(run.marks)));
  }
  out.set("synthetic_1e6", cheap);
  Json tables = Json::array();
  for (const std::string& path : paths) {
    const evaluators::RecordedTable table = must(evaluators::RecordedTable::read(path));
    search::EngineSetup unmodelled = setup_of(table.space(), Strategy::coppice, 5000, 1);
    unmodelled.options.world_model = false;
    const Run run = play(unmodelled, table_world(table), true, {1000, 2000, 3000, 4000, 5000});
    Json row = Json::object();
    row.set("coppice_without_model", marks_json(run.marks));
    if (compares) {
      row.set("compare", compare(table, seeds, 200));
    }
    tables.push(row.set("table", table.name()));
  }
  out.set("tables", tables);
  fmt::print("{}\n", out.pretty());
  return 0;
}
