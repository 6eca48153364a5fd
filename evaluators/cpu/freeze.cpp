// Finding the fastest opponent: every baseline under every variant and number of threads, timed
// briefly on each workload, judged for correctness, and the best plain one kept running.

#include "core/random.h"
#include "evaluators/cpu/session.h"
#include "evaluators/timing_stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

namespace coppice::evaluators::cpu {
namespace {

constexpr int kBriefLaunches = 5;  // the first of them warms up
constexpr Nanoseconds kLaunchLimit = std::chrono::seconds(20);

// One way to run one baseline.
struct Setting {
  const BaselineSpec* spec = nullptr;
  std::map<std::string, std::string, std::less<>> variant;
  int threads = 1;
  std::string binary;
  std::string name() const {
    std::string out = spec->name;
    for (const auto& [key, value] : variant) {
      std::string word = value.empty() ? "default" : value;
      std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) {
        return static_cast<char>(std::tolower(c));
      });
      out += ":" + word;
    }
    return out + fmt::format(":threads={}", threads);
  }
};

std::map<std::string, std::string, std::less<>> environment_of(const Setting& setting) {
  const std::string threads = std::to_string(setting.threads);
  std::map<std::string, std::string, std::less<>> out = {{"OMP_NUM_THREADS", threads},
                                                         {"OPENBLAS_NUM_THREADS", threads},
                                                         {"OMP_WAIT_POLICY", "passive"},
                                                         // Some milliseconds: awake at the bell.
                                                         {"GOMP_SPINCOUNT", "100000"},
                                                         {"OMP_DYNAMIC", "false"}};
  for (const auto& [key, value] : setting.variant) {
    if (!value.empty()) {
      out.insert_or_assign(key, value);
    }
  }
  return out;
}

// One process for one workload: libraries and their callers keep state of the last problem.
Result<Runner> start(CpuSession& s, const Setting& setting, const std::string& workload) {
  BaselineStart request;
  request.binary = setting.binary;
  request.threads = setting.threads;
  request.environment = environment_of(setting);
  COPPICE_TRY(Station* const station, s.station(workload));
  Station::Refresh refresh;  // its setup may read the structure tensors
  refresh.slot = station->baseline_slot();
  refresh.threads = s.threads;
  station->refresh(station->layout(), refresh);
  request.workloads.push_back({workload,
                               station->layout(),
                               station->origin(station->baseline_slot()),
                               station->inputs_fd(),
                               station->outputs_fd(),
                               s.scalars[workload]});
  return start_baseline(s.config, request);
}

std::vector<int> thread_counts(int threads) {
  std::vector<int> out;
  for (int n = 1; n < threads; n *= 2) {
    out.push_back(n);
  }
  out.push_back(threads);
  return out;
}

// Builds all baselines of this backend; those whose library is missing are noted and left out.
Result<std::vector<Setting>> settings(CpuSession& s,
                                      std::vector<BaselineFrozen>& absent,
                                      const std::stop_token& stop) {
  std::vector<Setting> out;
  for (const BaselineSpec& spec : s.config.op.baselines) {
    if (spec.backend != "cpu") {
      continue;
    }
    bool missing = false;
    auto binary = build_trusted(s, spec.source_name, spec.source, spec.library, missing, stop);
    if (!binary.ok() && !missing) {
      return binary.error().within("baseline " + spec.name);
    }
    if (!binary.ok()) {
      BaselineFrozen note;
      note.name = spec.name;
      note.prepacked = spec.prepacked;
      note.details = Json::object().set("absent", binary.error().message);
      absent.push_back(std::move(note));
      continue;
    }
    auto variants = spec.variants;
    if (variants.empty()) {
      variants.emplace_back();
    }
    for (const auto& variant : variants) {
      for (const int threads : thread_counts(s.threads)) {
        out.push_back({&spec, variant, threads, *binary});
      }
    }
  }
  return out;
}

struct Trial {
  double seconds = 0.0;
  std::string problem;  // why it can't be an opponent
};

// Times one setting on one workload and lets the judge check its last output.
Result<Trial> try_on(CpuSession& s, Runner& runner, Station& station) {
  Trial trial;
  std::vector<double> times;
  constexpr std::uint32_t kPoison = 0x7fc57fc5U;
  for (int i = 0; i < kBriefLaunches; ++i) {
    Station::Refresh refresh;
    refresh.slot = station.baseline_slot();
    refresh.poison = kPoison;
    refresh.threads = s.threads;
    station.refresh(station.layout(), refresh);
    const Launch launch = runner.launch(static_cast<std::uint32_t>(refresh.slot), 0, kLaunchLimit);
    if (!launch.ok() || runner.status() != 0) {
      trial.problem = launch.ok() ? fmt::format("returned {}", runner.status()) : launch.message;
      return trial;
    }
    if (i > 0) {
      times.push_back(to_seconds(launch.elapsed));
    }
    if (i > 1 && to_seconds(launch.elapsed) > 0.5) {
      break;  // a slow one shows itself quickly
    }
  }
  trial.seconds = spread(times).median;
  JudgeClient::Question question;
  question.workload = station.name();
  question.origin = station.origin(station.baseline_slot());
  question.poison = kPoison;
  for (const Place& place : station.layout().outputs) {
    question.places.push_back(place.data);
  }
  // A library may use any permitted precision: the loosest class of the suite decides.
  for (const PrecisionClass& precision : s.config.op.precision) {
    question.precision = precision.name;
    COPPICE_TRY(const Judgement judged, s.judge->compare(question));
    const JudgedOutput* bad = judged.bad();
    trial.problem = bad == nullptr ? "" : bad->message;
    if (bad == nullptr) {
      break;
    }
  }
  return trial;
}

Json details_of(const Setting& setting, const std::string& problem) {
  Json variant = Json::object();
  for (const auto& [key, value] : setting.variant) {
    variant.set(key, value);
  }
  Json out = Json::object();
  out.set("baseline", setting.spec->name).set("library", setting.spec->library);
  out.set("threads", setting.threads).set("variant", std::move(variant));
  if (!problem.empty()) {
    out.set("refused", problem);
  }
  return out;
}

// Marks the fastest plain one of each workload.
void choose(std::vector<BaselineFrozen>& frozen, const Suite& suite) {
  for (const Workload& w : suite.workloads) {
    BaselineFrozen* best = nullptr;
    for (BaselineFrozen& f : frozen) {
      const bool usable = f.workload == w.name && !f.prepacked && f.median.count() > 0;
      if (usable && (best == nullptr || f.median < best->median)) {
        best = &f;
      }
    }
    if (best != nullptr) {
      best->chosen = true;
    }
  }
}

// Starts the processes of the chosen ones.
Result<void> keep_running(CpuSession& s, const std::vector<Setting>& all) {
  s.runners.clear();
  s.chosen.clear();
  for (const BaselineFrozen& f : s.frozen) {
    if (!f.chosen) {
      continue;
    }
    const auto setting = std::find_if(all.begin(), all.end(), [&](const Setting& candidate) {
      return candidate.name() == f.name;
    });
    if (setting == all.end()) {
      return Error{ErrorCode::environment, fmt::format("baseline '{}' can't be run here", f.name)};
    }
    COPPICE_TRY(Runner runner, start(s, *setting, f.workload));
    s.runners.push_back(std::move(runner));
    s.chosen.insert_or_assign(f.workload, ChosenBaseline{f.name, s.runners.size() - 1, f.median});
    // Warm its code and its scratch memory once.
    COPPICE_TRY(Station* const station, s.station(f.workload));
    COPPICE_TRY(const Launch warm, launch_baseline(s, *station, 0, 0x7fc57fc5U));
  }
  return {};
}

// Entry 0 of every timed workload holds values from here on.
Result<void> draw_first_entries(CpuSession& s) {
  for (const Workload& w : s.suite->workloads) {
    COPPICE_TRY(Station* const station, s.station(w.name));
    const std::uint64_t seed = mix64(hash_text(w.name) ^ 0x66726565ULL);
    COPPICE_TRY_VOID(station->draw(*s.judge, 0, "", seed));
  }
  return {};
}

}  // namespace

Result<Launch> launch_baseline(CpuSession& s,
                               Station& station,
                               std::uint64_t entry,
                               std::uint32_t poison) {
  const ChosenBaseline& chosen = s.chosen.find(station.name())->second;
  Station::Refresh refresh;
  refresh.entry = entry;
  refresh.slot = station.baseline_slot();
  refresh.poison = poison;
  refresh.threads = s.threads;
  station.refresh(station.layout(), refresh);
  Runner& runner = s.runners[chosen.runner];
  Launch launch = runner.launch(static_cast<std::uint32_t>(refresh.slot), 0, kLaunchLimit);
  if (!launch.ok() || runner.status() != 0) {
    return Error{ErrorCode::environment,
                 fmt::format("baseline {}: {}", chosen.name, launch.message)};
  }
  return launch;
}

Result<void> freeze(CpuSession& s, std::stop_token stop) {
  std::vector<BaselineFrozen> frozen;
  COPPICE_TRY(const std::vector<Setting> all, settings(s, frozen, stop));
  COPPICE_TRY_VOID(draw_first_entries(s));
  for (const Setting& setting : all) {
    if (stop.stop_requested()) {
      return Error{ErrorCode::interrupted, "stopped while freezing baselines"};
    }
    for (const Workload& w : s.suite->workloads) {
      BaselineFrozen f;
      f.workload = w.name;
      f.name = setting.name();
      f.prepacked = setting.spec->prepacked;
      COPPICE_TRY(Station* const station, s.station(f.workload));
      Result<Runner> runner = start(s, setting, w.name);
      Trial trial;
      if (runner.ok()) {
        COPPICE_TRY(trial, try_on(s, *runner, *station));
      } else {
        trial.problem = runner.error().message;
      }
      f.median = trial.problem.empty()
                     ? Nanoseconds(static_cast<std::int64_t>(std::llround(trial.seconds * 1e9)))
                     : Nanoseconds(0);
      f.details = details_of(setting, trial.problem);
      frozen.push_back(std::move(f));
    }
  }
  choose(frozen, *s.suite);
  s.frozen = std::move(frozen);
  return keep_running(s, all);
}

Result<void> adopt(CpuSession& s, const std::vector<BaselineFrozen>& frozen, std::stop_token stop) {
  std::vector<BaselineFrozen> absent;
  COPPICE_TRY(const std::vector<Setting> all, settings(s, absent, stop));
  COPPICE_TRY_VOID(draw_first_entries(s));
  s.frozen = frozen;
  return keep_running(s, all);
}

}  // namespace coppice::evaluators::cpu
