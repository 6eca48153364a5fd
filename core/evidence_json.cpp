// Evidence as JSON, schema 1; equal values give equal bytes.
#include "core/codec.h"
#include "core/evidence.h"

namespace coppice {
namespace {

constexpr std::string_view kGates[] = {
    "contract",       "identity",        "scan",      "resources",       "build",
    "binary",         "smoke",           "write_set", "kernel_identity", "correctness",
    "hidden_shapes",  "memory_safety",   "state",     "perturbation",    "timed_outputs",
    "timing_quality", "paired_baseline", "physics",   "surprise",        "reverify",
    "evidence"};

constexpr std::string_view kFailures[] = {"none",
                                          "duplicate",
                                          "forbidden_code",
                                          "plan_invalid",
                                          "not_claimed",
                                          "compile_error",
                                          "compile_timeout",
                                          "crash",
                                          "hang",
                                          "memory_limit",
                                          "output_flood",
                                          "sandbox_violation",
                                          "unwritten_output",
                                          "guard_damaged",
                                          "input_changed",
                                          "wrong_result",
                                          "non_finite",
                                          "unstable",
                                          "stale_result",
                                          "too_slow",
                                          "noisy",
                                          "impossible",
                                          "memory_unsafe",
                                          "infrastructure"};

constexpr std::string_view kFidelities[] = {"search", "finalist", "promote"};

static_assert(std::size(kGates) == static_cast<std::size_t>(Gate::evidence) + 1);
static_assert(std::size(kFailures) == static_cast<std::size_t>(FailureClass::infrastructure) + 1);
static_assert(std::size(kFidelities) == static_cast<std::size_t>(Fidelity::promote) + 1);

Json verdict_json(const Verdict& verdict) {
  return Json::object()
      .set("valid", verdict.valid)
      .set("gate", to_text(verdict.gate))
      .set("failure", to_text(verdict.failure))
      .set("message", verdict.message);
}

Result<void> read(const JsonReader& json, Verdict& verdict) {
  Fields fields(json, {"valid", "gate", "failure", "message"});
  fields.need("valid", verdict.valid)
      .need_enum("gate", verdict.gate, gate)
      .need_enum("failure", verdict.failure, failure_class)
      .need("message", verdict.message);
  COPPICE_TRY(verdict, fields.done(std::move(verdict)));
  return {};
}

Json timing_json(const WorkloadTiming& timing) {
  return Json::object()
      .set("workload", timing.workload)
      .set("median_ns", timing.median.count())
      .set("p10_ns", timing.p10.count())
      .set("p90_ns", timing.p90.count())
      .set("min_ns", timing.min.count())
      .set("prepare_ns", timing.prepare.count())
      .set("samples", timing.samples)
      .set("dropped", timing.dropped)
      .set("baseline_median_ns", timing.baseline_median.count())
      .set("speedup", timing.speedup)
      .set("speedup_low", timing.speedup_low)
      .set("speedup_high", timing.speedup_high)
      .set("floor_ns", timing.floor.count())
      .set("sol_score", timing.sol_score);
}

Result<void> read(const JsonReader& json, WorkloadTiming& timing) {
  Fields fields(json,
                {"workload",
                 "median_ns",
                 "p10_ns",
                 "p90_ns",
                 "min_ns",
                 "prepare_ns",
                 "samples",
                 "dropped",
                 "baseline_median_ns",
                 "speedup",
                 "speedup_low",
                 "speedup_high",
                 "floor_ns",
                 "sol_score"});
  fields.need("workload", timing.workload)
      .need("median_ns", timing.median)
      .need("p10_ns", timing.p10)
      .need("p90_ns", timing.p90)
      .need("min_ns", timing.min)
      .need("prepare_ns", timing.prepare)
      .need("samples", timing.samples)
      .need("dropped", timing.dropped)
      .need("baseline_median_ns", timing.baseline_median)
      .need("speedup", timing.speedup)
      .need("speedup_low", timing.speedup_low)
      .need("speedup_high", timing.speedup_high)
      .need("floor_ns", timing.floor)
      .need("sol_score", timing.sol_score);
  COPPICE_TRY(timing, fields.done(std::move(timing)));
  return {};
}

Json performance_json(const Performance& performance) {
  return Json::object()
      .set("baseline", performance.baseline)
      .set("workloads", Json::array_of(performance.workloads, timing_json))
      .set("speedup", performance.speedup)
      .set("speedup_low", performance.speedup_low)
      .set("speedup_high", performance.speedup_high)
      .set("sol_score", performance.sol_score)
      .set("log_cost", performance.log_cost)
      .set("log_noise", performance.log_noise);
}

Result<Performance> read_performance(const JsonReader& json) {
  Performance performance;
  Fields fields(json,
                {"baseline",
                 "workloads",
                 "speedup",
                 "speedup_low",
                 "speedup_high",
                 "sol_score",
                 "log_cost",
                 "log_noise"});
  fields.need("baseline", performance.baseline)
      .need("speedup", performance.speedup)
      .need("speedup_low", performance.speedup_low)
      .need("speedup_high", performance.speedup_high)
      .need("sol_score", performance.sol_score)
      .need("log_cost", performance.log_cost)
      .need("log_noise", performance.log_noise);
  COPPICE_TRY(performance, fields.done(std::move(performance)));
  COPPICE_TRY(const JsonReader workloads, json.at("workloads"));
  COPPICE_TRY(const std::vector<JsonReader> items, workloads.items());
  for (const JsonReader& item : items) {
    WorkloadTiming timing;
    COPPICE_TRY_VOID(read(item, timing));
    performance.workloads.push_back(std::move(timing));
  }
  return performance;
}

}  // namespace

std::string_view to_text(Gate gate) {
  return kGates[static_cast<std::size_t>(gate)];
}
std::string_view to_text(FailureClass failure) {
  return kFailures[static_cast<std::size_t>(failure)];
}
std::string_view to_text(Fidelity fidelity) {
  return kFidelities[static_cast<std::size_t>(fidelity)];
}
Result<Gate> gate(std::string_view text) {
  return enum_named<Gate>("gate", kGates, text);
}
Result<FailureClass> failure_class(std::string_view text) {
  return enum_named<FailureClass>("failure", kFailures, text);
}
Result<Fidelity> fidelity(std::string_view text) {
  return enum_named<Fidelity>("fidelity", kFidelities, text);
}

Json to_json(const Cost& cost) {
  return Json::object()
      .set("compile_ns", cost.compile.count())
      .set("device_ns", cost.device.count())
      .set("llm_ns", cost.llm.count())
      .set("llm_tokens", cost.llm_tokens)
      .set("money", cost.money);
}

Result<Cost> cost(const JsonReader& json) {
  Cost cost;
  Fields fields(json, {"compile_ns", "device_ns", "llm_ns", "llm_tokens", "money"});
  fields.need("compile_ns", cost.compile)
      .need("device_ns", cost.device)
      .need("llm_ns", cost.llm)
      .need("llm_tokens", cost.llm_tokens)
      .need("money", cost.money);
  return fields.done(std::move(cost));
}

Json to_json(const Evidence& evidence) {
  Json json = Json::object();
  json.set("schema", Evidence::kSchema)
      .set("attempt", evidence.attempt.value)
      .set("candidate", evidence.candidate.value)
      .set("fidelity", to_text(evidence.fidelity))
      .set("precision", evidence.precision)
      .set("verdict", verdict_json(evidence.verdict))
      .set("error", evidence.error)
      .set("cost", to_json(evidence.cost));
  if (evidence.performance) {
    json.set("performance", performance_json(*evidence.performance));
  }
  set_if(json, "environment", !evidence.environment.is_null(), evidence.environment);
  set_if(json, "validation", !evidence.validation.is_null(), evidence.validation);
  set_if(json, "resources", !evidence.resources.is_null(), evidence.resources);
  set_if(json, "artifacts", !evidence.artifacts.is_null(), evidence.artifacts);
  if (evidence.counters) {
    json.set("counters", to_json(*evidence.counters));
  }
  if (evidence.memory_check) {
    json.set("memory_check", to_json(*evidence.memory_check));
  }
  return json;
}

Result<Evidence> evidence(const JsonReader& json) {
  Evidence out;
  int schema = 0;
  Fields fields(json,
                {"schema",
                 "attempt",
                 "candidate",
                 "fidelity",
                 "precision",
                 "verdict",
                 "error",
                 "cost",
                 "performance",
                 "environment",
                 "validation",
                 "resources",
                 "artifacts",
                 "counters",
                 "memory_check"});
  fields.need("schema", schema)
      .need("attempt", out.attempt)
      .need("candidate", out.candidate)
      .need_enum("fidelity", out.fidelity, fidelity)
      .need("precision", out.precision)
      .need("error", out.error)
      .maybe("environment", out.environment)
      .maybe("validation", out.validation)
      .maybe("resources", out.resources)
      .maybe("artifacts", out.artifacts);
  COPPICE_TRY(out, fields.done(std::move(out)));
  if (schema != Evidence::kSchema) {
    COPPICE_TRY(const JsonReader found, json.at("schema"));
    return found.error("schema " + std::to_string(Evidence::kSchema));
  }
  COPPICE_TRY(const JsonReader verdict, json.at("verdict"));
  COPPICE_TRY_VOID(read(verdict, out.verdict));
  COPPICE_TRY(const JsonReader spent, json.at("cost"));
  COPPICE_TRY(out.cost, cost(spent));
  if (const auto performance = json.find("performance")) {
    COPPICE_TRY(out.performance, read_performance(*performance));
  }
  if (const auto counters = json.find("counters")) {
    COPPICE_TRY(out.counters, hardware_counters(*counters));
  }
  if (const auto check = json.find("memory_check")) {
    COPPICE_TRY(out.memory_check, memory_check(*check));
  }
  return out;
}

}  // namespace coppice
