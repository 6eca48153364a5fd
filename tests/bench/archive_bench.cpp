// Measures the archive: commits, cost of an attempt and its flatness, folding, and the git archive.
// Usage: bench_archive FOLDER [ATTEMPTS] [CANDIDATES]. Prints one line a figure.
#include "archive/durable_file.h"
#include "archive/git_archive.h"
#include "archive/log_writer.h"
#include "archive/run_fold.h"
#include "core/random.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

using namespace coppice;
using namespace coppice::archive;

namespace {

using Mode = ExperimentLog::Mode;
using Watch = std::chrono::steady_clock;

double seconds_since(Watch::time_point start) {
  return std::chrono::duration<double>(Watch::now() - start).count();
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

// Processor time of all threads: what a busy machine can't inflate.
double cpu_seconds() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

long peak_megabytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

// Text that compresses about as well as source does (the reference's blobs shrink 2.8 times).
std::string source_text(std::uint64_t i, std::size_t size) {
  static constexpr const char* kWords[] = {"for (int i = 0; i < ",
                                           "acc += ",
                                           "__m256 ",
                                           " * ",
                                           "load(",
                                           "store(",
                                           "tile_kv",
                                           "float ",
                                           ";\n",
                                           "{\n"};
  Rng rng = stream(i, "bench", size);
  std::string out = fmt::format("#define COPPICE_TILE {}\n", i);
  while (out.size() < size) {
    out += kWords[rng.below(10)];
    out += fmt::format("v{}", rng.below(400));
  }
  out.resize(size);
  return out;
}

void bench_sync(const std::string& folder) {
  const std::string path = folder + "/sync";
  const FileDescriptor file = must(FileDescriptor::open(path, O_WRONLY | O_CREAT | O_TRUNC));
  std::vector<double> times;
  for (int i = 0; i < 100; ++i) {
    must(write_all(file, std::string(2048, 'x'), path));
    const auto start = Watch::now();
    must(sync_file(file, path));
    times.push_back(seconds_since(start) * 1e3);
  }
  std::ranges::sort(times);
  fmt::print("fsync of 2 KB: median {:.2f} ms, p90 {:.2f} ms\n", times[50], times[90]);
}

// The reference's workload: one 1.75 KB text and one 256 B event a row.
void bench_groups(const std::string& folder, std::uint64_t rows, std::uint64_t group) {
  const std::string run = fmt::format("{}/group{}", folder, group);
  std::vector<std::string> texts;
  for (std::uint64_t i = 0; i < rows; ++i) {
    texts.push_back(source_text(i, 1750));
  }
  auto log = must(ExperimentLog::open(run, Mode::create));
  const double cpu = cpu_seconds();
  const auto start = Watch::now();
  for (std::uint64_t i = 1; i <= rows; ++i) {
    must(log.put_blob(texts[i - 1]));
    must(log.append_encoded(fmt::format("{:>256}", i)));
    if (i % group == 0 || i == rows) {
      must(log.commit());
    }
  }
  const double time = seconds_since(start);
  const double used = cpu_seconds() - cpu;
  must(log.close());
  const double size = static_cast<double>(must(file_size(run + "/log.sqlite")));
  fmt::print(
      "commit of {:3} rows: {:7.0f} rows/s, {:.3f} ms of processor a row ({} rows, {:.0f} MB)\n",
      group,
      static_cast<double>(rows) / time,
      used * 1e3 / static_cast<double>(rows),
      rows,
      size / 1e6);
}

Proposed proposal_of(std::uint64_t i) {
  Proposed out;
  out.attempt = AttemptId{i};
  out.candidate = CandidateId{i};
  out.node = NodeId{1 + i % 50};
  out.spec.template_name = "split_kv";
  out.spec.genome.levels.assign(12, static_cast<std::uint16_t>(i % 7));
  if (i > 1) {
    out.parents.push_back(CandidateId{1 + mix64(i) % (i - 1)});
  }
  if (i > 10 && i % 8 == 0) {
    out.parents.push_back(CandidateId{i - 3});
  }
  out.mutator = "axis_step";
  out.why = "tile_kv 64 -> 128: the model expects 3 % less";
  out.prediction = Prediction{-0.51, 0.08, 0.93, 0.012, 1.4};
  return out;
}

Evidence evidence_of(const Proposed& proposal) {
  const std::uint64_t i = proposal.attempt.value;
  Evidence out;
  out.attempt = proposal.attempt;
  out.candidate = proposal.candidate;
  out.precision = "f32";
  out.cost.compile = std::chrono::milliseconds(350);
  out.cost.device = std::chrono::milliseconds(120);
  out.environment = Json::object().set("host", "bench").set("isolation", "full").set("seed", i);
  out.validation = Json::array();
  for (int c = 0; c < 6; ++c) {
    out.validation.push(
        Json::object().set("case", "normal").set("nrmse", 1e-7 * c).set("rows", 64));
  }
  if (i % 5 == 0) {
    out.verdict = {false, Gate::build, FailureClass::compile_error, "kernel.cpp:41: no member x"};
    return out;
  }
  out.verdict = {true, Gate::physics, FailureClass::none, ""};
  Performance performance;
  performance.baseline = "openblas:haswell:threads=2";
  performance.log_cost = -0.5 - 0.1 * std::log(static_cast<double>(i)) / 10;
  performance.speedup = std::exp(-performance.log_cost);
  for (int w = 0; w < 3; ++w) {
    WorkloadTiming timing;
    timing.workload = fmt::format("b1_s{}", 1024 << w);
    timing.median = Nanoseconds(100'000 + static_cast<std::int64_t>(i % 977));
    timing.baseline_median = Nanoseconds(170'000);
    timing.samples = 40;
    timing.speedup = performance.speedup;
    performance.workloads.push_back(timing);
  }
  out.performance = std::move(performance);
  return out;
}

// What the run loop appends for one attempt: two steps, each an input with its decisions.
void append_attempt(LogWriter& writer, std::uint64_t i) {
  const Proposed proposal = proposal_of(i);
  std::vector<Event> asked{WorkRequested{0}, proposal};
  Update update;
  update.node = proposal.node;
  update.priority = 0.1;
  update.reason = "expected gain 0.012 of 1.4 s";
  std::vector<Event> answered{Evaluated{evidence_of(proposal)},
                              Tick{std::chrono::milliseconds(500 * i)},
                              EditApplied{update}};
  must(writer.append_all(std::move(asked)));
  must(writer.append_all(std::move(answered)));
}

void bench_attempts(const std::string& run, std::uint64_t attempts) {
  constexpr std::uint64_t kWindows = 10;
  LogWriter writer(must(ExperimentLog::open(run, Mode::create)));
  must(writer.append(RunStarted{}));
  std::vector<double> per_window;
  std::vector<double> cpu_window;
  std::uint64_t done = 0;
  const auto all = Watch::now();
  for (std::uint64_t window = 1; window <= kWindows; ++window) {
    const double cpu = cpu_seconds();
    const auto start = Watch::now();
    const std::uint64_t until = attempts * window / kWindows;
    const std::uint64_t before = done;
    while (done < until) {
      append_attempt(writer, ++done);
    }
    must(writer.flush());
    per_window.push_back(seconds_since(start) * 1e3 / static_cast<double>(done - before));
    cpu_window.push_back((cpu_seconds() - cpu) * 1e3 / static_cast<double>(done - before));
  }
  const double time = seconds_since(all);
  const auto figures = writer.figures();
  must(writer.close());
  fmt::print(
      "log writer, {} attempts of 5 events: {:.3f} ms an attempt, {:.0f} events/s, {:.1f} "
      "events a commit\n",
      attempts,
      time * 1e3 / static_cast<double>(attempts),
      static_cast<double>(figures.rows) / time,
      static_cast<double>(figures.rows) / static_cast<double>(figures.commits));
  fmt::print("  ms an attempt by tenth:");
  for (const double one : per_window) {
    fmt::print(" {:.3f}", one);
  }
  fmt::print("\n  of them processor:    ");
  for (const double one : cpu_window) {
    fmt::print(" {:.3f}", one);
  }
  const double size = static_cast<double>(must(file_size(run + "/log.sqlite")));
  fmt::print(
      "\n  last tenth / first tenth: {:.2f}, processor {:.2f}; {:.0f} MB, peak memory {} MB\n",
      per_window.back() / per_window.front(),
      cpu_window.back() / cpu_window.front(),
      size / 1e6,
      peak_megabytes());
}

void bench_one_at_a_time(const std::string& run) {
  constexpr std::uint64_t kAttempts = 300;
  LogWriter writer(must(ExperimentLog::open(run, Mode::create)));
  std::vector<double> queue;
  std::vector<double> durable;
  for (std::uint64_t i = 1; i <= kAttempts; ++i) {
    const auto start = Watch::now();
    append_attempt(writer, i);
    queue.push_back(seconds_since(start) * 1e3);
    must(writer.flush());
    durable.push_back(seconds_since(start) * 1e3);
  }
  std::ranges::sort(queue);
  std::ranges::sort(durable);
  fmt::print("one attempt at a time: queued in {:.3f} ms, durable in {:.2f} ms (medians)\n",
             queue[kAttempts / 2],
             durable[kAttempts / 2]);
}

// Wall and processor seconds of one thing.
template <class Body>
std::string timed(Body body) {
  const double cpu = cpu_seconds();
  const auto start = Watch::now();
  body();
  const double wall = seconds_since(start);
  return fmt::format("{:.3f} s ({:.3f} s of processor)", wall, cpu_seconds() - cpu);
}

void bench_reading(const std::string& run) {
  std::optional<ExperimentLog> log;
  ChainStatus status;
  RunFold fold;
  fmt::print("open: {}\n", timed([&] { log.emplace(must(ExperimentLog::open(run, Mode::read))); }));
  fmt::print("verify: {}\n", timed([&] { status = must(log->verify()); }));
  fmt::print("fold: {}\n", timed([&] { must(fold.catch_up(*log)); }));
  fmt::print("  {} events, chain {}, peak memory {} MB\n",
             status.events,
             status.ok ? "ok" : status.message,
             peak_megabytes());
}

void bench_git(const std::string& run, const std::string& repository) {
  const std::string body = source_text(7, 6000);
  CandidateSource source;
  source.candidate = [&body](CandidateId id, const CandidateSpec&) -> Result<Candidate> {
    Candidate out;
    out.id = id;
    out.source_name = "kernel.cpp";
    out.source = fmt::format("#define COPPICE_TILE {}\n#define COPPICE_STAGES {}\n{}",
                             16 << id.value % 6,
                             id.value,
                             body);
    out.label = "split_kv";
    return out;
  };
  const auto log = must(ExperimentLog::open(run, Mode::read));
  GitExported done;
  const std::string time = timed([&] { done = must(export_git(log, source, repository)); });
  double size = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(repository)) {
    size += file.is_regular_file() ? static_cast<double>(file.file_size()) : 0.0;
  }
  fmt::print("git archive of {} candidates: {}, {} packs, {:.0f} MB, peak memory {} MB\n",
             done.candidates,
             time,
             done.packs,
             size / 1e6,
             peak_megabytes());
  const auto check = Watch::now();
  const std::string command =
      "git -c safe.directory='*' -C '" + repository + "' fsck --full --no-progress";
  const bool clean = std::system(command.c_str()) == 0;
  fmt::print("git fsck: {} in {:.1f} s\n", clean ? "clean" : "FAILED", seconds_since(check));
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    fmt::print(stderr, "usage: bench_archive FOLDER [ATTEMPTS] [CANDIDATES]\n");
    return 2;
  }
  const std::string folder = arguments[1];
  const std::uint64_t attempts = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 100'000;
  const std::uint64_t candidates = count > 3 ? std::strtoull(arguments[3], nullptr, 10) : attempts;
  must(make_directories(folder));
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  bench_sync(folder);
  bench_groups(folder, 300, 1);
  bench_groups(folder, 2000, 8);
  bench_groups(folder, 20'000, 64);
  bench_one_at_a_time(folder + "/single");
  bench_attempts(folder + "/run", attempts);
  bench_reading(folder + "/run");
  if (candidates == attempts) {
    bench_git(folder + "/run", folder + "/lineage.git");
  } else if (candidates > 0) {
    bench_attempts(folder + "/git-run", candidates);
    bench_git(folder + "/git-run", folder + "/lineage.git");
  }
  return 0;
}
