// Medians and paired ratios as the timing statistics give them; no figure is invented here.
#include "evaluators/cuda/evidence.h"

#include "core/op_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coppice::evaluators::cuda {
namespace {

// Where the driver does not tell the memory's clock and bus: no device known to us reads faster.
constexpr double kFastestMemory = 8.2e12;  // B/s

double memory_peak(const Json& facts) {
  const Result<double> known = facts.reader("device").real_or("memory_peak", 0.0);
  return known.ok() && *known > 1e11 ? *known : kFastestMemory;
}

Nanoseconds nanoseconds(double microseconds) {
  return Nanoseconds(static_cast<std::int64_t>(std::llround(microseconds * 1e3)));
}

WorkloadTiming timing_of(const EvidenceContext& context, const LaneTiming& timing) {
  const std::string& name = context.lane->workloads()[timing.workload].workload->name;
  const std::vector<double> mine(timing.candidate.begin(), timing.candidate.end());
  const std::vector<double> theirs(timing.baseline.begin(), timing.baseline.end());
  const Spread own = spread(mine);
  WorkloadTiming out;
  out.workload = name;
  out.median = nanoseconds(own.median);
  out.p10 = nanoseconds(own.p10);
  out.p90 = nanoseconds(own.p90);
  out.min = nanoseconds(own.min);
  out.samples = own.samples;
  out.baseline_median = nanoseconds(spread(theirs).median);
  out.speedup = std::exp(timing.paired.log_ratio.median);
  out.speedup_low = std::exp(timing.paired.log_ratio.low);
  out.speedup_high = std::exp(timing.paired.log_ratio.high);
  const auto floor = context.floor_seconds.find(name);
  if (floor != context.floor_seconds.end()) {
    out.floor = nanoseconds(floor->second * 1e6);
    out.sol_score = sol_score(
        own.median * 1e-6, floor->second, static_cast<double>(to_seconds(out.baseline_median)));
  }
  return out;
}

Performance performance_of(const EvidenceContext& context, const LaneResult& result) {
  Performance out;
  out.baseline = context.baseline;
  std::vector<Interval> ratios;
  double noise = 0, score = 0;
  for (const LaneTiming& timing : result.timings) {
    out.workloads.push_back(timing_of(context, timing));
    ratios.push_back(timing.paired.log_ratio);
    noise += timing.paired.noise * timing.paired.noise;
    score += out.workloads.back().sol_score;
  }
  const Interval all = combine(ratios);
  const double count = static_cast<double>(std::max<std::size_t>(ratios.size(), 1));
  out.speedup = std::exp(all.median);
  out.speedup_low = std::exp(all.low);
  out.speedup_high = std::exp(all.high);
  out.sol_score = score / count;
  out.log_cost = -all.median;
  out.log_noise = std::sqrt(noise) / count;
  return out;
}

// Gate 17: no launch may beat the time in which the memory at its peak moves the least bytes, or
// the matrix units at their fastest peak do the arithmetic.
std::string impossible(const EvidenceContext& context, const LaneResult& result) {
  const double peak = memory_peak(context.facts);
  for (const LaneTiming& timing : result.timings) {
    const LaneWorkload& w = context.lane->workloads()[timing.workload];
    const WorkloadCost cost = workload_cost(*context.op, *context.suite, w);
    const double least = cost.bytes / peak;
    const double median = to_seconds(median_time(timing.candidate));
    const double arithmetic =
        context.fastest_matrix > 0 ? cost.flops / context.fastest_matrix : 0.0;
    if (median < 0.98 * arithmetic) {
      return fmt::format("{}: {:.2f} us, while its arithmetic takes {:.2f} us at {:.0f} TFLOP/s",
                         w.workload->name,
                         median * 1e6,
                         arithmetic * 1e6,
                         context.fastest_matrix * 1e-12);
    }
    if (median < 0.98 * least) {
      return fmt::format("{}: {:.2f} us, while its least bytes take {:.2f} us at {:.1f} TB/s",
                         w.workload->name,
                         median * 1e6,
                         least * 1e6,
                         peak * 1e-12);
    }
  }
  return "";
}

Json cost_json(const LaneCost& cost) {
  Json out = Json::object();
  out.set("load_s", cost.load)
      .set("capture_s", cost.capture)
      .set("candidate_blocks_s", cost.candidate_blocks)
      .set("baseline_blocks_s", cost.baseline_blocks)
      .set("check_s", cost.check)
      .set("verify_s", cost.verify)
      .set("device_span_s", cost.device_span)
      .set("launches", cost.launches);
  return out;
}

}  // namespace

WorkloadCost workload_cost(const Op& op, const Suite& suite, const LaneWorkload& workload) {
  ValueMap values = workload_values(op, suite, *workload.workload);
  for (const auto& [name, value] : workload.structure.scalars) {
    values.insert_or_assign(name, value);
  }
  const Result<double> bytes = op.cost.bytes.real(values);
  const Result<double> flops = op.cost.flops.real(values);
  return {bytes.ok() ? *bytes : 0.0, flops.ok() ? *flops : 0.0};
}

double matrix_rate(const Suite& suite, const Rates& rates) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {{"e4m3", "fp8_tensor"},
                                                                      {"e5m2", "fp8_tensor"},
                                                                      {"bf16", "bf16_tensor"},
                                                                      {"f16", "f16_tensor"},
                                                                      {"f32", "tf32_tensor"}};
  double out = 0;
  for (const auto& [type, rate] : kNames) {
    const auto known = rates.find(rate);
    for (const auto& [name, bound] : suite.types) {
      if (bound == type && known != rates.end()) {
        out = std::max(out, known->second);
      }
    }
  }
  return out;
}

double fastest_matrix_rate(const Rates& rates) {
  double out = 0;
  for (const auto& [name, rate] : rates) {
    if (name.size() > 7 && name.compare(name.size() - 7, 7, "_tensor") == 0) {
      out = std::max(out, rate);
    }
  }
  return out;
}

Nanoseconds median_time(const std::vector<float>& microseconds) {
  const std::vector<double> values(microseconds.begin(), microseconds.end());
  return values.empty() ? Nanoseconds{} : nanoseconds(spread(values).median);
}

LaunchLimits launch_limits(const Json& facts) {
  LaunchLimits out;
  const JsonReader reader = facts.reader("device");
  const auto number = [&](const char* key, std::int64_t fallback) {
    const Result<std::int64_t> value = reader.integer_or(key, fallback);
    return value.ok() ? *value : fallback;
  };
  out.shared_per_block = number("shared_per_block", 48 << 10);
  out.clusters = number("clusters", 0) != 0;
  out.tensor_maps = number("tensor_maps", 0) != 0;
  out.cluster_blocks = 16;
  return out;
}

const PrecisionClass* headline_precision(const Op& op, const Suite& suite) {
  for (const PrecisionClass& one : op.precision) {
    const bool fits = std::all_of(one.types.begin(), one.types.end(), [&](const auto& type) {
      const auto bound = suite.types.find(type.first);
      return bound != suite.types.end() && bound->second == type.second;
    });
    if (fits) {
      return &one;
    }
  }
  return nullptr;
}

Evidence make_evidence(const EvidenceContext& context,
                       const DeviceTask& task,
                       const LaneResult& result) {
  Evidence out;
  out.attempt = task.attempt;
  out.candidate = task.candidate;
  out.fidelity = task.fidelity;
  out.precision = task.precision;
  out.verdict = result.verdict;
  out.error = result.error;
  if (out.verdict.valid) {
    if (const std::string why = impossible(context, result); !why.empty()) {
      out.verdict = Verdict{false, Gate::physics, FailureClass::impossible, why};
    } else if (!result.timings.empty()) {
      out.performance = performance_of(context, result);
      out.verdict.gate = Gate::physics;
    }
  }
  out.environment = Json::object();
  out.environment.set("device", context.facts)
      .set("toolchain", context.toolchain)
      .set("isolation", context.lane->isolation());
  out.validation = cost_json(result.cost);
  out.counters = result.counters;
  out.memory_check = result.memory_check;
  const Result<Json> resources = Json::parse(result.resources, "resources");
  out.resources = resources.ok() ? *resources : Json();
  return out;
}

}  // namespace coppice::evaluators::cuda
