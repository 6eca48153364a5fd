// Gates 14 to 19: launches on values never seen before, each checked, interleaved with the frozen
// baseline; statistics; physics; a second look at what is too good.

#include "evaluators/cpu/examination.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coppice::evaluators::cpu {
namespace {

struct Effort {
  StopRule rule;
  double seconds = 0.25;  // per workload, everything included
  double wide = 0.3;      // half width of the interval beyond which a block goes on over its time
  double widest = 2.0;  // ... beyond which the result is noise; the search bears much, it knows it
  std::int64_t processes = 1;  // at least
};

Effort effort_of(Fidelity fidelity) {
  switch (fidelity) {
    case Fidelity::search:
      return {{8, 40, 0.02, 2}, 0.25, 0.3, 2.0, 1};
    case Fidelity::finalist:
      return {{20, 120, 0.01, 4}, 1.5, 0.15, 0.5, 2};
    case Fidelity::promote:
      return {{60, 240, 0.005, 4}, 4.0, 0.1, 0.15, 3};
  }
  COPPICE_UNREACHABLE();
}

// Share of a launch that its threads may wait for a processor before the pair counts as disturbed.
constexpr double kDisturbed = 0.03;
// Speed-ups over a library that deserve a second look: the search looks at everything again when it
// promotes, so it stops only for the incredible.
constexpr double kSurprise = 2.0;
constexpr double kIncredible = 10.0;
constexpr double kImpossibleRead = 1.5;  // times the best measured read rate
constexpr double kImpossibleMath = 1.5;

double floor_of(const WorkloadCost& cost, const Ceilings& ceilings) {
  const double read = ceilings.read_all > 0.0 ? cost.bytes / ceilings.read_all : 0.0;
  const double math = ceilings.f32_fma > 0.0 ? cost.flops / ceilings.f32_fma : 0.0;
  return std::max(read, math);
}

Nanoseconds nanoseconds(double seconds) {
  return Nanoseconds(static_cast<std::int64_t>(std::llround(seconds * 1e9)));
}

// Pairs with the share of time that their threads waited.
struct Sample {
  Pair pair;
  double waited = 0.0;
};

// Whether an interval of log ratios is wider than `widest`. A kernel near the resolution of a
// launch can't be timed better; that is no noise.
bool wide(const PairedResult& result,
          std::span<const Pair> pairs,
          double widest,
          double resolution) {
  const double half = result.log_ratio.half_width();
  if (half <= widest || pairs.empty()) {
    return false;
  }
  std::vector<double> shorter;
  for (const Pair& pair : pairs) {
    shorter.push_back(std::min(pair.candidate, pair.baseline));
  }
  return half * spread(shorter).median > resolution;
}

// The undisturbed pairs; where the machine leaves too few of them, the least disturbed.
std::vector<Pair> usable(std::vector<Sample> samples, std::int64_t fewest, std::int64_t& dropped) {
  std::vector<Pair> clean;
  for (const Sample& sample : samples) {
    if (sample.waited <= kDisturbed) {
      clean.push_back(sample.pair);
    }
  }
  if (static_cast<std::int64_t>(clean.size()) < fewest) {
    std::stable_sort(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) {
      return a.waited < b.waited;
    });
    clean.clear();
    for (const Sample& sample : samples) {
      if (static_cast<std::int64_t>(clean.size()) < fewest || sample.waited <= kDisturbed) {
        clean.push_back(sample.pair);
      }
    }
  }
  dropped = static_cast<std::int64_t>(samples.size() - clean.size());
  return clean;
}

}  // namespace

// One pair: both see the values of one entry. Without a baseline only the candidate runs.
Result<Refusal> Examination::take_pair(
    Bench& b, std::uint64_t entry, bool candidate_first, Pair& pair, double& waited) {
  const bool has_baseline = s_.chosen.find(b.work->workload) != s_.chosen.end();
  const std::uint32_t poison = fresh_poison();
  Launch mine;
  Launch theirs;
  for (const bool candidate : {candidate_first, !candidate_first}) {
    if (candidate) {
      COPPICE_TRY(mine, launch(b, entry, poison));
      if (!mine.ok()) {
        return refusal_of(mine, Gate::timed_outputs, b.work->workload);
      }
    } else if (has_baseline) {
      COPPICE_TRY(theirs, launch_baseline(s_, *b.station, entry, poison));
    }
  }
  pair.candidate = to_seconds(mine.elapsed);
  pair.baseline = has_baseline ? to_seconds(theirs.elapsed) : 1e-3;
  const auto share = [&](const Launch& launch) {
    return launch.elapsed.count() > 0 ? to_seconds(launch.waited) / to_seconds(launch.elapsed)
                                      : 0.0;
  };
  waited = std::max(share(mine), share(theirs));
  return judge(b, entry, poison, Gate::timed_outputs, b.work->workload + ", timed");
}

Result<Refusal> Examination::take_pairs(Bench& b, std::vector<Pair>& pairs, std::int64_t& dropped) {
  const Effort effort = effort_of(task_.fidelity);
  const std::uint64_t entries = b.station->size().timed_entries;
  std::vector<std::uint64_t> order(entries);
  for (std::uint64_t i = 0; i < entries; ++i) {
    order[i] = i;
    COPPICE_TRY_VOID(b.station->draw(*s_.judge, i, "", seed_of(b.work->workload, "", i)));
  }
  std::vector<Sample> samples;
  const Nanoseconds start = steady_now();
  std::uint64_t at = entries;
  std::int64_t processes = 0;
  bool candidate_first = rng_.below(2) == 0;
  const double hopeless_at = -task_.best_log_cost;
  while (true) {
    if (at >= entries) {
      // A new process has seen nothing; its first launch warms up and is checked, not timed.
      b.runner.reset();
      rng_.shuffle(order);
      at = 0;
      ++processes;
      const Gate gate = processes == 1 ? Gate::correctness : Gate::timed_outputs;
      COPPICE_TRY(const Refusal warm,
                  check_on(b, order[at++], gate, b.work->workload + ", warm-up"));
      if (warm) {
        return warm;
      }
    }
    Sample sample;
    COPPICE_TRY(const Refusal refused,
                take_pair(b, order[at++], candidate_first, sample.pair, sample.waited));
    if (refused) {
      return refused;
    }
    candidate_first = !candidate_first;
    samples.push_back(sample);
    pairs = usable(
        samples, std::min<std::int64_t>(effort.rule.min_pairs, std::ssize(samples)), dropped);
    const double spent = to_seconds(steady_now() - start);
    const bool out_of_time = spent > effort.seconds && pairs.size() >= 3;
    const bool far_behind = task_.fidelity == Fidelity::search && std::isfinite(hopeless_at) &&
                            hopeless(pairs, hopeless_at, 0.3);
    const bool done =
        enough(pairs, effort.rule) || std::ssize(samples) >= 2 * effort.rule.max_pairs;
    const bool far_over_time = spent > 4.0 * effort.seconds + 1.0;
    const bool unsure = wide(paired(pairs), pairs, effort.wide, s_.launch_resolution);
    if (far_over_time ||
        ((done || (out_of_time && !unsure) || far_behind) && processes >= effort.processes)) {
      return Refusal();
    }
    if ((done || out_of_time) && processes < effort.processes) {
      at = entries;
    }
  }
}

Result<Refusal> Examination::time_workload(const DeviceWorkload& work, TimedWorkload& out) {
  COPPICE_TRY(Bench b, bench(work, 0));
  std::vector<Pair> pairs;
  std::int64_t dropped = 0;
  COPPICE_TRY(const Refusal refused, take_pairs(b, pairs, dropped));
  if (refused) {
    return refused;
  }
  const PairedResult result = paired(pairs);
  std::vector<double> mine;
  std::vector<double> theirs;
  for (const Pair& pair : pairs) {
    mine.push_back(pair.candidate);
    theirs.push_back(pair.baseline);
  }
  const Spread spread_mine = spread(mine);
  const bool has_baseline = s_.chosen.find(work.workload) != s_.chosen.end();
  COPPICE_TRY(const WorkloadCost cost, s_.cost(work.workload));
  WorkloadTiming& t = out.timing;
  t.workload = work.workload;
  t.median = nanoseconds(spread_mine.median);
  t.p10 = nanoseconds(spread_mine.p10);
  t.p90 = nanoseconds(spread_mine.p90);
  t.min = nanoseconds(spread_mine.min);
  t.samples = result.pairs;
  t.dropped = dropped;
  out.log_ratio = result.log_ratio;
  if (has_baseline) {
    t.baseline_median = nanoseconds(spread(theirs).median);
    t.speedup = std::exp(result.log_ratio.median);
    t.speedup_low = std::exp(result.log_ratio.low);
    t.speedup_high = std::exp(result.log_ratio.high);
  }
  out.noisy = wide(result, pairs, effort_of(task_.fidelity).widest, s_.launch_resolution);
  Refusal impossible = check_physics(out, cost);
  if (impossible && !s_.skips(Gate::physics)) {
    return impossible;
  }
  // Faster than the best reading seen so far, yet possible: then that was not the ceiling.
  s_.ceilings.read_all = std::max(s_.ceilings.read_all, cost.bytes / spread_mine.median);
  t.floor = nanoseconds(floor_of(cost, s_.ceilings));
  if (has_baseline) {
    t.sol_score = sol_score(spread_mine.median, to_seconds(t.floor), to_seconds(t.baseline_median));
  }
  return Refusal();
}

Refusal Examination::check_physics(const TimedWorkload& timed, const WorkloadCost& cost) {
  const double seconds = to_seconds(timed.timing.median);
  const bool f32 = s_.config.op.cost.compute == "f32_fma";
  const auto beats = [&](double margin) {
    return cost.bytes > seconds * s_.ceilings.read_all * margin ||
           (f32 && cost.flops > seconds * s_.ceilings.f32_fma * margin);
  };
  if (beats(1.0)) {
    // Before anybody is called impossible: were the ceilings measured on a busy machine?
    const Ceilings again = measure_ceilings(s_.machine);
    s_.ceilings.read_one = std::max(s_.ceilings.read_one, again.read_one);
    s_.ceilings.read_all = std::max(s_.ceilings.read_all, again.read_all);
    s_.ceilings.f32_fma = std::max(s_.ceilings.f32_fma, again.f32_fma);
    s_.ceilings.f64_fma = std::max(s_.ceilings.f64_fma, again.f64_fma);
    keep_ceilings(s_.ceiling_source(), again);
    ++s_.ceiling_measurements;
  }
  const double read = s_.ceilings.read_all * kImpossibleRead;
  const double math = s_.ceilings.f32_fma * kImpossibleMath;
  if (read > 0.0 && seconds * read < cost.bytes) {
    return refuse(
        Gate::physics,
        FailureClass::impossible,
        fmt::format("{}: {:.3g} s for {:.4g} bytes is {:.3g} B/s; the machine reads {:.3g} B/s",
                    timed.timing.workload,
                    seconds,
                    cost.bytes,
                    cost.bytes / seconds,
                    s_.ceilings.read_all));
  }
  // Ceilings are measured for f32; other kinds of arithmetic have none here yet.
  if (f32 && math > 0.0 && seconds * math < cost.flops) {
    return refuse(
        Gate::physics,
        FailureClass::impossible,
        fmt::format("{}: {:.3g} s for {:.4g} FLOP is {:.3g} FLOP/s; the machine does {:.3g}",
                    timed.timing.workload,
                    seconds,
                    cost.flops,
                    cost.flops / seconds,
                    s_.ceilings.f32_fma));
  }
  return std::nullopt;
}

void Examination::write_performance(const std::vector<TimedWorkload>& timed) {
  Performance p;
  std::vector<Interval> parts;
  double sol = 0.0;
  for (const TimedWorkload& t : timed) {
    parts.push_back(t.log_ratio);
    sol += t.timing.sol_score;
    p.workloads.push_back(t.timing);
    const auto chosen = s_.chosen.find(t.timing.workload);
    const std::string name = chosen == s_.chosen.end() ? "" : chosen->second.name;
    if (!name.empty() && p.baseline.find(name) == std::string::npos) {
      p.baseline += (p.baseline.empty() ? "" : ", ") + name;
    }
  }
  const Interval all = combine(parts);
  p.speedup = std::exp(all.median);
  p.speedup_low = std::exp(all.low);
  p.speedup_high = std::exp(all.high);
  p.sol_score = sol / static_cast<double>(std::max<std::size_t>(timed.size(), 1));
  p.log_cost = -all.median;
  p.log_noise = all.half_width() / 1.959964;
  evidence_.performance = std::move(p);
}

// Gates 18 and 19: fresh processes and fresh values must give the same result again.
Result<Refusal> Examination::reverify(const std::vector<TimedWorkload>& first) {
  surprise_ = true;
  values_seed_ = mix64(values_seed_ ^ 0x7665726966796e67ULL);
  COPPICE_TRY_VOID(s_.renew_launcher());
  for (std::size_t i = 0; i < task_.timed.size(); ++i) {
    TimedWorkload again;
    COPPICE_TRY(Refusal refused, time_workload(task_.timed[i], again));
    if (refused) {
      refused->gate = std::max(refused->gate, Gate::reverify);
      return refused;
    }
    const Interval& a = first[i].log_ratio;
    const Interval& b = again.log_ratio;
    const double apart = std::fabs(a.median - b.median);
    const double allowed = a.half_width() + b.half_width() + 0.1;
    if (apart > allowed) {
      return Refusal(refuse(Gate::reverify,
                            FailureClass::noisy,
                            fmt::format("{}: speed-up {:.3g} at first, {:.3g} again",
                                        first[i].timing.workload,
                                        std::exp(a.median),
                                        std::exp(b.median))));
    }
  }
  return Refusal();
}

Result<Refusal> Examination::time_all() {
  std::vector<TimedWorkload> timed;
  double cost_so_far = 0.0;
  for (std::size_t i = 0; i < task_.timed.size(); ++i) {
    TimedWorkload one;
    COPPICE_TRY(const Refusal refused, time_workload(task_.timed[i], one));
    if (refused) {
      return refused;
    }
    if (one.noisy && !s_.skips(Gate::timing_quality)) {
      return Refusal(refuse(Gate::timing_quality,
                            FailureClass::noisy,
                            fmt::format("{}: interval of +-{:.0f} % after {} pairs",
                                        one.timing.workload,
                                        100.0 * one.log_ratio.half_width(),
                                        one.timing.samples)));
    }
    cost_so_far -= one.log_ratio.high;  // the most favourable reading
    timed.push_back(std::move(one));
    const auto done = static_cast<double>(timed.size());
    const auto left = static_cast<double>(task_.timed.size()) - done;
    // Even if the rest were as good as the best candidate, this one would be four times slower.
    const double best_possible = (cost_so_far + left * task_.best_log_cost) / (done + left);
    if (task_.fidelity == Fidelity::search && left > 0 && std::isfinite(task_.best_log_cost) &&
        best_possible > task_.best_log_cost + std::log(4.0)) {
      partial_ = Json::object().set("log_cost", cost_so_far / done).set("workloads", done);
      return Refusal(refuse(Gate::timing_quality,
                            FailureClass::too_slow,
                            fmt::format("{}: {:.3g} times slower than the best so far",
                                        timed.back().timing.workload,
                                        std::exp(cost_so_far / done - task_.best_log_cost))));
    }
  }
  write_performance(timed);
  const bool best_yet = evidence_.performance->log_cost < task_.best_log_cost;
  const double limit = task_.fidelity == Fidelity::search ? kIncredible : kSurprise;
  if (!s_.chosen.empty() && best_yet && evidence_.performance->speedup > limit &&
      !s_.skips(Gate::reverify)) {
    return reverify(timed);
  }
  return Refusal();
}

}  // namespace coppice::evaluators::cpu
