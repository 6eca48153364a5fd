// Evidence: what one evaluation of one candidate showed; pass or fail, kept either way.
#pragma once

#include "core/counters.h"
#include "core/ids.h"
#include "core/json.h"
#include "core/memory_check.h"
#include "core/units.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice {

// Ordered; the first failure stops. Numbers are those of the verification contract
// (docs/verification.md).
enum class Gate {
  contract = 0,   // the op itself is sound (references agree, twins judged rightly)
  identity = 1,   // not a duplicate
  scan = 2,       // source uses nothing forbidden
  resources = 3,  // plan within the target's limits and the plan's claims
  build = 4,
  binary = 5,     // imports, constructors, writable globals, promised opcodes
  smoke = 6,      // one small launch ends in time, without a crash
  write_set = 7,  // every output element written, nothing else touched
  kernel_identity = 8,
  correctness = 9,  // listed suite, fresh seeds, several distributions
  hidden_shapes = 10,
  memory_safety = 11,
  state = 12,  // repeated and relocated launches agree
  perturbation = 13,
  timed_outputs = 14,  // outputs of the timed launches are right too
  timing_quality = 15,
  paired_baseline = 16,
  physics = 17,  // not faster than possible; clocks agree
  surprise = 18,
  reverify = 19,
  evidence = 20,
};

// Why a candidate failed; independent of the gate where it showed.
enum class FailureClass {
  none,
  duplicate,
  forbidden_code,
  plan_invalid,  // launch plan out of limits, unresolvable, or a hard rule of the target
  not_claimed,   // the plan does not claim this shape
  compile_error,
  compile_timeout,
  crash,  // signal, trap, sticky device error
  hang,
  memory_limit,
  output_flood,
  sandbox_violation,
  unwritten_output,
  guard_damaged,  // wrote outside its outputs and workspace
  input_changed,
  wrong_result,
  non_finite,
  unstable,      // same input, different answer
  stale_result,  // right at first, wrong on timed values
  too_slow,      // stopped early: a correct kernel that can't win
  noisy,
  impossible,      // faster than physics
  memory_unsafe,   // a tool that watches every access found one outside its memory
  infrastructure,  // our fault or the machine's: not charged to the candidate
};

std::string_view to_text(Gate gate);
std::string_view to_text(FailureClass failure);
Result<Gate> gate(std::string_view text);
Result<FailureClass> failure_class(std::string_view text);

struct Verdict {
  bool valid = false;
  Gate gate = Gate::contract;  // valid: the last gate passed; else where it failed
  FailureClass failure = FailureClass::none;
  std::string message;  // one line for a person: place, value, limit
};

// Times of one workload. All times are medians of one launch of the whole plan, prepare steps
// included.
struct WorkloadTiming {
  std::string workload;
  Nanoseconds median{};
  Nanoseconds p10{}, p90{}, min{};
  Nanoseconds prepare{};  // share of the prepare steps
  std::int64_t samples = 0;
  std::int64_t dropped = 0;       // voided by disturbance or throttling
  Nanoseconds baseline_median{};  // measured interleaved, A B B A
  double speedup = 0.0;           // exp(median of paired log ratios)
  double speedup_low = 0.0;       // 95 % interval
  double speedup_high = 0.0;
  Nanoseconds floor{};     // roofline from measured ceilings, this workload's data
  double sol_score = 0.0;  // 1 / (1 + (T - T_sol)/(T_b - T_sol))
};

struct Performance {
  std::string baseline;  // frozen name: library, variant, threads
  std::vector<WorkloadTiming> workloads;
  // Objective: geometric mean of the paired speed-ups, with its interval.
  double speedup = 0.0, speedup_low = 0.0, speedup_high = 0.0;
  double sol_score = 0.0;  // mean over workloads
  // What the search minimises: ln(time / baseline), geometric mean over workloads. Recorded tables
  // that know no baseline give ln(milliseconds).
  double log_cost = 0.0;
  double log_noise = 0.0;  // standard error of log_cost
};

// How much effort an evaluation takes; results of different fidelity are never mixed.
enum class Fidelity {
  search,    // all gates with search limits, few samples, slow candidates stopped early
  finalist,  // re-timed, paired and interleaved with its rivals' baseline, more samples
  promote,   // fresh seeds, at least three fresh processes, full samples
};
std::string_view to_text(Fidelity fidelity);
Result<Fidelity> fidelity(std::string_view text);

struct Cost {
  Nanoseconds compile{};
  Nanoseconds device{};  // exclusive time on the timing lane
  Nanoseconds llm{};
  std::int64_t llm_tokens = 0;
  double money = 0.0;
};
Json to_json(const Cost& cost);
Result<Cost> cost(const JsonReader& json);

struct Evidence {
  static constexpr int kSchema = 1;
  AttemptId attempt;
  CandidateId candidate;
  Fidelity fidelity = Fidelity::search;
  std::string precision;  // class it was judged by
  Verdict verdict;
  std::optional<Performance> performance;  // absent unless valid
  double error = 0.0;  // worst nRMSE / limit over outputs and rounds (<= 1 passes)
  Cost cost;
  // Free-form sections, for people and exports; never read by a decision.
  Json environment;  // device, toolchain, isolation level, seeds, replay command
  Json validation;   // errors per workload and case
  Json resources;    // registers, shared memory, spills, binary size
  Json artifacts;    // digests: compiler log, machine code
  // Of finalists and promotions on devices that have counters; absent for all others.
  std::optional<HardwareCounters> counters;
  // Of promotions on devices for which there is such a tool.
  std::optional<MemoryCheck> memory_check;
};

Json to_json(const Evidence& evidence);
Result<Evidence> evidence(const JsonReader& json);

}  // namespace coppice
