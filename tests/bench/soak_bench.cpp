// Measures a long run of many tasks on tables with crashes, hangs and lost devices: does memory
// stay flat, does anything stall, how soon is the report there.
// Usage: bench_soak tests/bench/soak.json ARCHIVE [--without-faults]. Tasks are tables; ARCHIVE
// must be fresh. Prints JSON.
#include "cli/make_evaluator.h"
#include "cli/replay.h"
#include "cli/shared_report.h"
#include "cli/shared_run.h"
#include "core/random.h"

#include <fmt/format.h>
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <thread>

using namespace coppice;

namespace {

using Watch = std::chrono::steady_clock;

template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    fmt::print(stderr, "{}\n", result.error().message);
    std::exit(3);
  }
  return std::move(result).value();
}

double resident_megabytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0.0;
  file >> pages >> pages;
  return pages * 4096.0 / 1e6;
}

// What went wrong on purpose, over all tasks.
struct Faults {
  std::atomic<int> crashes{0}, hangs{0}, infrastructure{0}, lost{0};
};

// Asks the table, but now and then the candidate crashes or hangs, the machine fails, or the whole
// device is lost. Drawn by attempt, so that a candidate that is tried again may fare better.
class FaultyEvaluator final : public evaluators::Evaluator {
 public:
  FaultyEvaluator(std::unique_ptr<evaluators::Evaluator> table, Faults& faults, std::uint64_t seed)
      : table_(std::move(table)), faults_(faults), seed_(seed) {}
  int devices() const override { return 1; }
  Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token stop) override {
    return table_->freeze_baselines(stop);
  }
  evaluators::Built build(const evaluators::EvaluationTask& task, std::stop_token stop) override {
    return table_->build(task, stop);
  }
  Result<Evidence> measure(const evaluators::EvaluationTask& task,
                           const evaluators::Built& built,
                           int device,
                           std::stop_token stop) override {
    COPPICE_TRY(Evidence evidence, table_->measure(task, built, device, stop));
    const double drawn = stream(seed_, "fault", task.attempt.value).uniform();
    if (drawn < 0.002) {
      ++faults_.lost;
      return Error{ErrorCode::environment, "the device is lost"};
    }
    if (drawn < 0.022) {
      ++faults_.crashes;
      return failed(std::move(evidence), FailureClass::crash);
    }
    if (drawn < 0.027) {
      ++faults_.hangs;  // what a deadline makes of it
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return failed(std::move(evidence), FailureClass::hang);
    }
    if (drawn < 0.032) {
      ++faults_.infrastructure;
      return failed(std::move(evidence), FailureClass::infrastructure);
    }
    return evidence;
  }
  Json environment() const override { return table_->environment(); }

 private:
  static Evidence failed(Evidence evidence, FailureClass failure) {
    evidence.verdict = {false, Gate::correctness, failure, "on purpose"};
    evidence.performance.reset();
    return evidence;
  }
  std::unique_ptr<evaluators::Evaluator> table_;
  Faults& faults_;
  const std::uint64_t seed_;
};

// What is asked of the allocator and not yet given back.
double live_megabytes() {
#ifdef __GLIBC__
  const struct mallinfo2 all = ::mallinfo2();
  return static_cast<double>(all.uordblks + all.hblkhd) / 1e6;
#else
  return 0.0;
#endif
}

struct Sample {
  double seconds = 0.0, megabytes = 0.0, live = 0.0;
};

// Memory and progress, looked at from outside the run.
class Watcher {
 public:
  Watcher()
      : thread_([this](std::stop_token stop) {
          while (!stop.stop_requested()) {
            samples_.push_back({seconds_since(start_), resident_megabytes(), live_megabytes()});
            std::this_thread::sleep_for(std::chrono::milliseconds(500));
          }
        }) {}
  std::vector<Sample> end() {
    thread_.request_stop();
    thread_.join();
    return samples_;
  }

 private:
  const Watch::time_point start_ = Watch::now();
  std::vector<Sample> samples_;
  std::jthread thread_;
};

// The longest time between two events of the whole run that reached the disk.
double longest_silence(const archive::RunStore& store, const std::string& run) {
  std::vector<Nanoseconds> written;
  for (const std::string& name : must(store.names())) {
    if (name != run && name.rfind(run + "/", 0) != 0) {
      continue;
    }
    const auto log = must(store.open_run(name, archive::ExperimentLog::Mode::read));
    const auto seen = log.visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
      written.push_back(row.written);
      return true;
    });
    if (!seen.ok()) {
      std::exit(3);
    }
  }
  std::sort(written.begin(), written.end());
  double most = 0.0;
  for (std::size_t i = 1; i < written.size(); ++i) {
    most = std::max(most, to_seconds(written[i] - written[i - 1]));
  }
  return most;
}

std::uint64_t mismatches(const archive::RunStore& store,
                         const cli::SharedReader& reader,
                         Executor& executor,
                         std::uint64_t& decisions) {
  std::uint64_t out = 0;
  const auto add = [&](const cli::Replayed& replayed) {
    decisions += replayed.decisions;
    out += replayed.decisions - replayed.matched;
  };
  auto allocator = must(cli::allocator_of(reader.config()));
  add(must(cli::replay_log(must(store.open_run(reader.name(), archive::ExperimentLog::Mode::read)),
                           [&](const Event& input) { return allocator.handle(input); })));
  for (const cli::SharedTaskView& task : reader.tasks()) {
    if (task.run) {
      auto engine = must(search::Engine::create(cli::engine_setup(task.run->material()), executor));
      add(must(cli::replay_log(task.run->log(), engine)));
    }
  }
  return out;
}

Json memory_json(const std::vector<Sample>& samples, double seconds) {
  Json out = Json::array();
  std::size_t next = 0;
  for (int part = 1; part <= 10; ++part) {
    const double at = seconds * part / 10.0;
    while (next + 1 < samples.size() && samples[next].seconds < at) {
      ++next;
    }
    out.push(Json::object()
                 .set("at_s", at)
                 .set("mb", samples[next].megabytes)
                 .set("live_mb", samples[next].live));
  }
  return out;
}

}  // namespace

int main(int count, char** words) {
  if (count < 3) {
    fmt::print(stderr, "usage: bench_soak CONFIG ARCHIVE [--without-faults]\n");
    return 2;
  }
  const bool faulty = count < 4 || std::string(words[3]) != "--without-faults";
  const cli::RunConfig config = must(cli::load_run_config(words[1]));
  const auto store = must(archive::RunStore::open(words[2], archive::RunStore::Access::create));
  std::FILE* quiet = std::fopen("/dev/null", "w");
  cli::Console console(quiet, quiet, {});
  const SteadyClock clock;
  InlineExecutor executor;
  Faults faults;
  const cli::SharedWorld world{
      clock,
      executor,
      console,
      [] { return 0; },
      [&](const cli::RunMaterial& material) -> Result<std::unique_ptr<evaluators::Evaluator>> {
        COPPICE_TRY(auto table, cli::make_evaluator(material));
        if (!faulty) {
          return table;
        }
        return std::unique_ptr<evaluators::Evaluator>(std::make_unique<FaultyEvaluator>(
            std::move(table), faults, hash_text(material.config.table)));
      }};
  cli::SharedMaterial material = must(cli::gather_tasks(config, cli::Places{{}}, nullptr));
  const double before = resident_megabytes();
  Watcher watcher;
  const Watch::time_point start = Watch::now();
  const cli::SharedEnd end = must(cli::start_shared(store, "soak", std::move(material), world));
  const double seconds = seconds_since(start);
  const std::vector<Sample> samples = watcher.end();

  Watch::time_point began = Watch::now();
  const cli::SharedReader reader = must(cli::SharedReader::open(store, end.run));
  const std::string page = cli::shared_report_page(reader);
  const double report = seconds_since(began);
  fmt::print(stderr,
             "{} attempts in {:.0f} s, report {:.2f} s; replay follows\n{}\n",
             reader.attempts(),
             seconds,
             report,
             memory_json(samples, seconds).dump());
  began = Watch::now();
  std::uint64_t decisions = 0;
  const std::uint64_t wrong = mismatches(store, reader, executor, decisions);
  const double replay = seconds_since(began);
  Json out = Json::object();
  out.set("run", end.run).set("tasks", static_cast<std::int64_t>(reader.tasks().size()));
  out.set("attempts", reader.attempts()).set("valid", reader.valid());
  out.set("turns", static_cast<std::int64_t>(reader.turns().size())).set("seconds", seconds);
  out.set("ms_per_attempt", 1e3 * seconds / static_cast<double>(reader.attempts()));
  out.set("crashes", faults.crashes.load()).set("hangs", faults.hangs.load());
  out.set("infrastructure", faults.infrastructure.load()).set("lost", faults.lost.load());
  out.set("longest_silence_s", longest_silence(store, end.run));
  out.set("mb_before", before).set("memory", memory_json(samples, seconds));
  out.set("report_s", report).set("report_bytes", static_cast<std::int64_t>(page.size()));
  out.set("replay_s", replay).set("decisions", decisions).set("mismatches", wrong);
  fmt::print("{}\n", out.dump());
  return 0;
}
