// Replays recorded tables with the world model and a plain choice by expected improvement: how near
// to the optimum after 20, 50, 100, 200 evaluations, over many seeds.
#include "core/json.h"
#include "core/random.h"
#include "evaluators/recorded_table.h"
#include "planner/world_model.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <string>

namespace {

using namespace coppice;
using evaluators::RecordedOutcome;
using evaluators::RecordedTable;

struct Settings {
  std::vector<std::string> tables;
  std::size_t seeds = 25, budget = 200, first = 5;
  std::string mode =
      "local";              // "ei": expected improvement alone; "local": with moves round the best
  std::size_t period = 4;   // every how many evaluations a local move is due
  std::size_t from = 30;    // and from which evaluation on
  std::size_t centres = 3;  // incumbents whose neighbours are looked at
  planner::ModelTuning tuning;
};

constexpr std::size_t kMarks[] = {20, 50, 100, 200, 400};

struct Trace {
  std::vector<double> fraction;  // after each evaluation
  double planner_seconds = 0.0;
  double late_ms = 0.0;  // slowest tenth's mean, ms an evaluation
};

class Replay {
 public:
  Replay(const RecordedTable& table, const Settings& settings, std::uint64_t seed)
      : table_(table),
        settings_(settings),
        space_{table.space()},
        model_(space_, seed, executor_, settings.tuning),
        rng_(stream(seed, "bench", 0)),
        tried_(table.size(), false) {
    for (const Genome& genome : *table.space().space.listed()) {
      points_.push_back(Point{0, genome});
    }
  }

  Trace run() {
    Trace trace;
    for (std::size_t i = 0; i < settings_.budget; ++i) {
      const auto start = std::chrono::steady_clock::now();
      const std::size_t choice = choose(i);
      trace.planner_seconds +=
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      evaluate(choice, trace);
    }
    return trace;
  }

 private:
  std::size_t random_untried() {
    std::size_t at = rng_.below(points_.size());
    while (tried_[at]) {
      at = rng_.below(points_.size());
    }
    return at;
  }

  // The first ones: far from each other, so that each level is seen.
  std::size_t spread_out() {
    std::size_t best = random_untried();
    std::size_t best_far = 0;
    for (int i = 0; i < 30; ++i) {
      const std::size_t at = random_untried();
      std::size_t nearest = 1000;
      for (const std::size_t other : order_) {
        std::size_t far = 0;
        for (std::size_t a = 0; a < points_[at].genome.levels.size(); ++a) {
          far += points_[at].genome.levels[a] != points_[other].genome.levels[a] ? 1 : 0;
        }
        nearest = std::min(nearest, far);
      }
      if (nearest > best_far) {
        best_far = nearest;
        best = at;
      }
    }
    return best;
  }

  bool neighbours(const Genome& a, const Genome& b) const {
    int changed = 0;
    for (std::size_t i = 0; i < a.levels.size(); ++i) {
      changed += a.levels[i] != b.levels[i] ? 1 : 0;
    }
    return changed == 1;
  }

  std::size_t choose(std::size_t i) {
    if (i < settings_.first || !model_.ready()) {
      return spread_out();
    }
    const std::vector<planner::Belief> beliefs = model_.predict(points_);
    const bool local = settings_.mode == "local" && i >= settings_.from &&
                       i % settings_.period == settings_.period - 1;
    std::size_t best = points_.size();
    double most = -1.0;
    const auto offer = [&](std::size_t at) {
      const double gain = planner::WorldModel::expected_gain(beliefs[at], best_log_);
      if (gain > most) {
        most = gain;
        best = at;
      }
    };
    if (local) {
      for (std::size_t c = 0; c < std::min(settings_.centres, elites_.size()); ++c) {
        for (std::size_t at = 0; at < points_.size(); ++at) {
          if (!tried_[at] && neighbours(points_[elites_[c].second].genome, points_[at].genome)) {
            offer(at);
          }
        }
        if (best < points_.size()) {
          return best;
        }
      }
    }
    for (std::size_t at = 0; at < points_.size(); ++at) {
      if (!tried_[at]) {
        offer(at);
      }
    }
    return best;
  }

  void evaluate(std::size_t choice, Trace& trace) {
    tried_[choice] = true;
    order_.push_back(choice);
    const RecordedOutcome& outcome = table_.outcomes()[choice];
    planner::Observation observation;
    observation.point = points_[choice];
    observation.valid = outcome.valid;
    observation.log_noise = outcome.log_noise;
    observation.seconds = outcome.compile_seconds + outcome.run_seconds;
    observation.gate = outcome.gate;
    observation.failure = outcome.failure;
    if (outcome.valid) {
      observation.log_cost = std::log(outcome.milliseconds);
      elites_.emplace_back(observation.log_cost, choice);
      std::sort(elites_.begin(), elites_.end());
      best_log_ = elites_.front().first;
    }
    const auto start = std::chrono::steady_clock::now();
    model_.observe(observation);
    trace.planner_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    trace.fraction.push_back(elites_.empty() ? 0.0
                                             : table_.optimum_milliseconds() / std::exp(best_log_));
  }

  const RecordedTable& table_;
  const Settings& settings_;
  SearchSpace space_;
  InlineExecutor executor_;
  planner::WorldModel model_;
  Rng rng_;
  std::vector<Point> points_;
  std::vector<bool> tried_;
  std::vector<std::size_t> order_;
  std::vector<std::pair<double, std::size_t>> elites_;
  double best_log_ = 1e300;
};

std::size_t evaluations_to(const Trace& trace, double fraction) {
  for (std::size_t i = 0; i < trace.fraction.size(); ++i) {
    if (trace.fraction[i] >= fraction) {
      return i + 1;
    }
  }
  return trace.fraction.size() + 1;
}

double median(std::vector<std::size_t> values) {
  std::sort(values.begin(), values.end());
  return static_cast<double>(values[values.size() / 2]);
}

Json replay(const RecordedTable& table, const Settings& settings) {
  std::map<std::size_t, std::vector<double>> at;
  std::vector<std::size_t> to5, to1;
  double seconds = 0.0;
  for (std::uint64_t seed = 1; seed <= settings.seeds; ++seed) {
    const Trace trace = Replay(table, settings, seed).run();
    seconds += trace.planner_seconds;
    for (const std::size_t mark : kMarks) {
      if (mark <= trace.fraction.size()) {
        at[mark].push_back(trace.fraction[mark - 1]);
      }
    }
    to5.push_back(evaluations_to(trace, 1.0 / 1.05));
    to1.push_back(evaluations_to(trace, 1.0 / 1.01));
  }
  Json mean = Json::object();
  Json worst = Json::object();
  for (const auto& [mark, values] : at) {
    double sum = 0.0;
    for (const double v : values) {
      sum += v;
    }
    mean.set(std::to_string(mark),
             std::round(sum / static_cast<double>(values.size()) * 1e4) / 1e4);
    worst.set(std::to_string(mark),
              std::round(*std::min_element(values.begin(), values.end()) * 1e4) / 1e4);
  }
  Json out = Json::object();
  out.set("table", table.name()).set("fraction", mean).set("worst_seed", worst);
  out.set("median_to_5pct", median(to5)).set("median_to_1pct", median(to1));
  out.set("planner_ms_per_evaluation",
          seconds * 1e3 / static_cast<double>(settings.seeds * settings.budget));
  return out;
}

bool number(const std::string& text, double& out) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc() && read.ptr == text.data() + text.size();
}

// "name=value" turns a knob; anything else is a table.
bool read_argument(const std::string& argument, Settings& s) {
  const std::size_t equals = argument.find('=');
  if (equals == std::string::npos || argument.find('/') < equals) {
    s.tables.push_back(argument);
    return true;
  }
  const std::string name = argument.substr(0, equals);
  const std::string value = argument.substr(equals + 1);
  if (name == "mode") {
    s.mode = value;
    return value == "ei" || value == "local";
  }
  const std::map<std::string, std::size_t*> counts = {{"seeds", &s.seeds},
                                                      {"budget", &s.budget},
                                                      {"first", &s.first},
                                                      {"period", &s.period},
                                                      {"from", &s.from},
                                                      {"centres", &s.centres},
                                                      {"fit_rows", &s.tuning.fit_rows},
                                                      {"most_rows", &s.tuning.most_rows}};
  const std::map<std::string, double*> reals = {{"clip", &s.tuning.clip},
                                                {"centre", &s.tuning.centre},
                                                {"refit_growth", &s.tuning.refit_growth},
                                                {"length_share", &s.tuning.length_share},
                                                {"length_spread", &s.tuning.length_spread},
                                                {"nugget", &s.tuning.nugget}};
  double x = 0.0;
  if (!number(value, x)) {
    return false;
  }
  if (const auto count = counts.find(name); count != counts.end()) {
    *count->second = static_cast<std::size_t>(x);
    return true;
  }
  if (name == "fit_steps") {
    s.tuning.fit_steps = static_cast<int>(x);
    return true;
  }
  const auto real = reals.find(name);
  if (real == reals.end()) {
    return false;
  }
  *real->second = x;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    if (!read_argument(argv[i], settings)) {
      std::fprintf(stderr, "bench_planner: can't read \"%s\"\n", argv[i]);
      return 2;
    }
  }
  if (settings.tables.empty()) {
    std::fprintf(stderr,
                 "example: bench_planner seeds=25 budget=200 mode=local gemm.json.gz\n"
                 "Give at least one recorded table.\n");
    return 2;
  }
  for (const std::string& path : settings.tables) {
    const auto table = RecordedTable::read(path);
    if (!table.ok()) {
      std::fprintf(stderr, "bench_planner: %s\n", table.error().message.c_str());
      return exit_status(table.error().code);
    }
    std::printf("%s\n", replay(*table, settings).dump().c_str());
    std::fflush(stdout);
  }
  return 0;
}
