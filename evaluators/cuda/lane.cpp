// Evaluating on the lane: every launch of a block has its own set of values and its own output
// slot, and every output is checked before the block's times count.
#include "evaluators/cuda/lane.h"

#include "core/random.h"
#include "evaluators/cuda/launch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coppice::evaluators::cuda {
namespace {

Tolerance tolerance(const PrecisionClass& precision, const TensorInfo& output, double slack) {
  const auto found = precision.per_output.find(output.name);
  Tolerance out = found == precision.per_output.end() ? precision.tolerance : found->second;
  // Where one element is most of the tensor, its honest rounding is the tensor's whole error.
  out.nrmse = std::max(out.nrmse, largest_rounding(output.dtype));
  out.nrmse *= slack;
  out.relative *= slack * slack;  // single elements scatter more than the whole
  out.scaled *= slack * slack;
  return out;
}

std::vector<GuardRange> workspace_guards(const LaneJob& job, std::uint64_t workload) {
  std::vector<GuardRange> out;
  for (const PlanToLoad& plan : job.plans) {
    if (plan.workload == workload) {
      for (const auto& [offset, bytes] : workspace_layout(plan.plan, kGuardBytes).guards) {
        out.push_back({offset, bytes});
      }
    }
  }
  return out;
}

double total(const std::vector<float>& microseconds) {
  double out = 0;
  for (const float one : microseconds) {
    out += static_cast<double>(one) * 1e-6;
  }
  return out;
}

void fail(LaneResult& out, Gate gate, FailureClass failure, std::string message) {
  out.verdict = Verdict{false, gate, failure, std::move(message)};
}

// One output of one slot by the rules of evaluators/compare.h; `worst` keeps the largest share of a
// limit that passed.
Verdict judge_slot(const DeviceComparison& c,
                   const Tolerance& t,
                   const std::string& where,
                   double& worst) {
  const auto refuse = [&](Gate gate, FailureClass failure, const std::string& what) {
    return Verdict{false, gate, failure, where + ": " + what};
  };
  if (c.unwritten > 0) {
    return refuse(
        Gate::write_set,
        FailureClass::unwritten_output,
        fmt::format("{} elements never written, the first at {}", c.unwritten, c.first_bad));
  }
  if (c.non_finite > 0) {
    return refuse(
        Gate::correctness,
        FailureClass::non_finite,
        fmt::format("{} elements not finite, the first at {}", c.non_finite, c.first_bad));
  }
  const double n = static_cast<double>(std::max<std::uint64_t>(c.finite, 1));
  const double nrmse =
      c.diff2 == 0 ? 0 : std::sqrt(c.diff2 / n) / std::max(std::sqrt(c.ref2 / n), 1e-300);
  double error = c.worst_ratio;
  if (!t.absolute) {
    error = std::max({error, nrmse / t.nrmse, c.worst_row / (t.nrmse * t.row_factor)});
  }
  if (!(error <= 1.0)) {
    return refuse(Gate::correctness,
                  FailureClass::wrong_result,
                  fmt::format("nRMSE {:.3g} (limit {:.3g}), worst row {:.3g}, {} elements beyond "
                              "their limit",
                              nrmse,
                              t.nrmse,
                              c.worst_row,
                              c.beyond));
  }
  worst = std::max(worst, error);
  return Verdict{};
}

// A wrong result says at which gate it showed: at once, on a hidden shape, or only on later values.
Verdict at_its_gate(Verdict verdict, bool first, bool hidden) {
  if (verdict.gate == Gate::correctness && !first) {
    verdict.gate = Gate::timed_outputs;
    if (verdict.failure == FailureClass::wrong_result) {
      verdict.failure = FailureClass::stale_result;
    }
  } else if (verdict.gate == Gate::correctness && hidden) {
    verdict.gate = Gate::hidden_shapes;
  }
  return verdict;
}

// The gate at which a process failure of the first or a later block shows.
Gate gate_of(FailureClass failure, bool first) {
  return failure == FailureClass::plan_invalid ? Gate::build
                                               : (first ? Gate::smoke : Gate::timed_outputs);
}

}  // namespace

std::uint64_t workspace_bytes(const LaneJob& job) {
  std::uint64_t bytes = kGuardBytes;
  for (const PlanToLoad& plan : job.plans) {
    bytes = std::max(bytes, workspace_layout(plan.plan, kGuardBytes).bytes);
  }
  return bytes;
}

Result<CandidateClient> CudaLane::new_candidate() {
  for (const bool tighten : {candidate_setup_.tighten, false}) {
    candidate_setup_.tighten = tighten;
    Result<CandidateClient> client =
        CandidateClient::start(candidate_setup_, std::chrono::seconds(60));
    Result<void> attached;
    for (std::uint64_t w = 0; client.ok() && attached.ok() && w < workloads_.size(); ++w) {
      const Result<double> one = client->attach(w, regions_[w]);
      attached = one.ok() ? Result<void>() : Result<void>(one.error());
    }
    if (client.ok() && attached.ok()) {
      return client;
    }
    if (!tighten) {
      return client.ok() ? attached.error() : client.error();
    }
    // Not every system lets a context come up, or memory be shared, inside namespaces.
    isolation_ = "process (namespaces refused: " +
                 (client.ok() ? attached.error().message : client.error().message) + ")";
  }
  return Error{ErrorCode::environment, "candidate process: cannot be started"};
}

Result<void> CudaLane::ready(std::optional<CandidateClient>& process,
                             const LaneJob& job,
                             LaneResult& out) {
  auto begin = std::chrono::steady_clock::now();
  if (!process || !process->alive()) {
    COPPICE_TRY(CandidateClient fresh, new_candidate());
    process.emplace(std::move(fresh));
  }
  out.cost.start += seconds_since(begin);
  begin = std::chrono::steady_clock::now();
  const std::uint64_t bytes = workspace_bytes(job);
  if (bytes > (1ull << 36)) {
    fail(out,
         Gate::resources,
         FailureClass::memory_limit,
         fmt::format("workspace of {} bytes, at most 64 GiB", bytes));
    return {};
  }
  COPPICE_TRY(const IpcHandle handle, judge_->workspace(workspace_slot_, bytes));
  COPPICE_TRY_VOID(process->workspace(handle));
  out.cost.workspace += seconds_since(begin);
  begin = std::chrono::steady_clock::now();
  COPPICE_TRY(const CandidateClient::Loaded loaded, process->load(job.binaries, job.plans));
  out.cost.load += seconds_since(begin);
  out.resources = loaded.resources;
  if (loaded.failure.failure != FailureClass::none) {
    fail(out, Gate::build, loaded.failure.failure, loaded.failure.message);
  }
  if (isolation_ == "unknown") {
    COPPICE_TRY(isolation_, process->tighten());
  } else if (candidate_setup_.tighten) {
    COPPICE_TRY([[maybe_unused]] const std::string level, process->tighten());
  }
  return {};
}

// Each workload lays its slices out anew: what one wrote lies where another's guards are.
Result<void> CudaLane::poison_workspace(const LaneJob& job) {
  COPPICE_TRY([[maybe_unused]] const IpcHandle same,
              judge_->workspace(workspace_slot_, workspace_bytes(job)));
  return {};
}

std::vector<RunItem> CudaLane::order(std::uint64_t workload,
                                     std::uint64_t salt,
                                     bool timed_only) const {
  const LaneWorkload& w = workloads_[workload];
  std::vector<RunItem> out;
  const std::uint64_t count = timed_only ? w.timed_sets : w.cases.size();
  for (std::uint32_t i = 0; i < count; ++i) {
    out.push_back({i, i});
  }
  stream(salt, "launch_order", workload).shuffle(out);
  return out;
}

Result<bool> CudaLane::check_block(const LaneJob& job,
                                   std::uint64_t workload,
                                   const Block& block,
                                   LaneResult& out) {
  const LaneWorkload& w = workloads_[workload];
  const bool opponent = !block.candidate && !opponent_outputs_.empty();
  const double slack = opponent ? kOpponentSlack : 1.0;
  std::vector<DeviceTolerance> limits;
  std::vector<const TensorInfo*> outputs;
  for (const TensorInfo& tensor : w.tensors) {
    if (tensor.role == TensorRole::output) {
      const Tolerance t = tolerance(*job.precision, tensor, slack);
      limits.push_back({t.relative, t.scaled, t.absolute.value_or(-1.0)});
      outputs.push_back(&tensor);
    }
  }
  std::uint32_t slots = 0;
  for (const RunItem item : block.items) {
    slots = std::max(slots, item.slot + 1);
  }
  std::vector<std::uint32_t> sets(slots, 0);
  for (const RunItem item : block.items) {
    sets[item.slot] = item.set;
  }
  const auto begin = std::chrono::steady_clock::now();
  COPPICE_TRY(const SlotCheck checked, judge_->check(workload, sets, limits));
  out.cost.check += seconds_since(begin);
  const bool first = out.verdict.gate < Gate::correctness;
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    const Tolerance t = tolerance(*job.precision, *outputs[o], slack);
    if (opponent &&
        std::find(opponent_outputs_.begin(), opponent_outputs_.end(), outputs[o]->name) ==
            opponent_outputs_.end()) {
      continue;
    }
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
      const std::string where = fmt::format(
          "{}: {} with values '{}'", w.workload->name, outputs[o]->name, w.cases[sets[slot]]->name);
      const Verdict verdict = judge_slot(checked.results[o * slots + slot], t, where, out.error);
      if (verdict.failure != FailureClass::none) {
        out.verdict = at_its_gate(verdict, first, w.hidden);
        return false;
      }
    }
  }
  if (checked.damaged_guards > 0) {
    fail(out,
         Gate::write_set,
         FailureClass::guard_damaged,
         fmt::format("{}: {} words around the outputs overwritten",
                     w.workload->name,
                     checked.damaged_guards));
    return false;
  }
  return true;
}

Result<bool> CudaLane::run_block(BlockRunner& process,
                                 const LaneJob& job,
                                 std::uint64_t workload,
                                 const Block& block,
                                 std::vector<float>& times,
                                 LaneResult& out) {
  const auto begin = std::chrono::steady_clock::now();
  const auto known = baseline_us_.find(workload);
  const double expected = known == baseline_us_.end() ? 0.0 : known->second * 1e-6;
  const double seconds =
      std::max(2.0, 50.0 * expected * static_cast<double>(block.items.size() + 2));
  COPPICE_TRY(
      RunResult run,
      process.run(workload,
                  block.options,
                  block.items,
                  std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(seconds))));
  (block.candidate ? out.cost.candidate_blocks : out.cost.baseline_blocks) += seconds_since(begin);
  out.cost.capture += run.reply.capture_seconds;
  out.cost.device_span += run.reply.span_seconds;
  out.cost.enqueue += run.reply.enqueue_seconds;
  out.cost.launches += static_cast<std::int64_t>(block.items.size());
  if (run.failure.failure != FailureClass::none) {
    process.kill();
    fail(out,
         gate_of(run.failure.failure, out.verdict.gate < Gate::correctness),
         run.failure.failure,
         workloads_[workload].workload->name + ": " + run.failure.message);
    return false;
  }
  (block.candidate ? out.cost.candidate_kernels : out.cost.baseline_kernels) +=
      total(run.microseconds);
  times.insert(times.end(), run.microseconds.begin(), run.microseconds.end());
  return check_block(job, workload, block, out);
}

Result<bool> CudaLane::verify_state(const LaneJob& job, std::uint64_t workload, LaneResult& out) {
  const auto begin = std::chrono::steady_clock::now();
  COPPICE_TRY(const StateCheck state,
              judge_->verify(workload, workspace_slot_, workspace_guards(job, workload)));
  out.cost.verify += seconds_since(begin);
  const std::string& name = workloads_[workload].workload->name;
  if (state.changed_inputs != 0) {
    drawn_.reset();  // the pool is spoilt: draw again before the next candidate
    fail(out, Gate::write_set, FailureClass::input_changed, name + ": inputs were overwritten");
    return false;
  }
  if (state.workspace_guards != 0) {
    fail(
        out,
        Gate::write_set,
        FailureClass::guard_damaged,
        fmt::format("{}: {} words around the workspace overwritten", name, state.workspace_guards));
    return false;
  }
  return true;
}

// A candidate that was refused may have spoilt the inputs of those after it. Where the process
// lived on, what it overwrote is the verdict: an earlier gate, and the likely cause of what was
// seen.
Result<void> CudaLane::look_for_spoilt_inputs(const LaneJob& job,
                                              std::uint64_t workload,
                                              LaneResult& out) {
  if (pool_spoilt()) {
    return {};  // seen already
  }
  const Verdict refused = out.verdict;
  COPPICE_TRY(const bool intact, verify_state(job, workload, out));
  if (intact || refused.gate <= Gate::write_set || refused.failure == FailureClass::hang ||
      refused.failure == FailureClass::crash) {
    out.verdict = refused;
  }
  return {};
}

// One L2 is enough to push everything out of it.
std::uint64_t CudaLane::flush_bytes() const {
  const auto value = judge_->facts().reader("facts").integer_or("l2_bytes", 60 << 20);
  return static_cast<std::uint64_t>(value.ok() ? *value : std::int64_t{60 << 20});
}

// A B B A blocks over the same sets in the same order, until the interval is narrow enough.
Result<bool> CudaLane::time_workload(const LaneJob& job, std::uint64_t workload, LaneResult& out) {
  LaneTiming timing;
  timing.workload = workload;
  Block block;
  block.options.flush_bytes = flush_bytes();
  block.options.warm_up = 1;
  std::vector<Pair> pairs;
  for (std::uint64_t round = 0; pairs.empty() || !enough(pairs, job.stop); ++round) {
    std::vector<float> times[4];
    for (int b = 0; b < 4; ++b) {
      const bool candidate = b == 0 || b == 3;
      if (!candidate && !baseline_) {
        continue;
      }
      block.candidate = candidate;
      block.items = order(workload, job.order_seed + 7919 * round + (b > 1 ? 1 : 0), true);
      COPPICE_TRY(
          const bool passed,
          run_block(candidate ? *candidate_ : *baseline_, job, workload, block, times[b], out));
      if (!passed) {
        if (!candidate) {
          return Error{ErrorCode::environment, "baseline failed: " + out.verdict.message};
        }
        return false;
      }
    }
    for (const auto& [mine, theirs] : {std::pair(0, 1), std::pair(3, 2)}) {
      for (std::size_t i = 0; i < times[mine].size(); ++i) {
        const float other = baseline_ ? times[theirs][i] : times[mine][i];
        timing.candidate.push_back(times[mine][i]);
        timing.baseline.push_back(other);
        pairs.push_back(
            {static_cast<double>(times[mine][i]) * 1e-6, static_cast<double>(other) * 1e-6});
      }
    }
    if (hopeless(pairs, job.give_up_below, 0.1)) {
      timing.paired = paired(pairs);
      fail(out,
           Gate::paired_baseline,
           FailureClass::too_slow,
           fmt::format("{}: {:.2f} times the baseline's speed",
                       workloads_[workload].workload->name,
                       std::exp(timing.paired.log_ratio.median)));
      out.timings.push_back(std::move(timing));
      return false;
    }
    if (!baseline_ && pairs.size() >= 32) {
      break;
    }
  }
  timing.paired = paired(pairs);
  out.timings.push_back(std::move(timing));
  return true;
}

Result<LaneResult> CudaLane::finish(LaneResult out, bool passed) {
  if (passed) {
    out.verdict.valid = true;
    out.verdict.failure = FailureClass::none;
  } else if (candidate_ && (out.verdict.failure == FailureClass::hang ||
                            out.verdict.failure == FailureClass::crash)) {
    candidate_->kill();
    candidate_.reset();
    COPPICE_TRY(const bool sound, device_is_sound());
    if (!sound) {
      return Error{ErrorCode::environment,
                   "the device gives wrong answers after: " + out.verdict.message};
    }
  }
  return out;
}

Result<LaneResult> CudaLane::evaluate(const LaneJob& job) {
  const auto begin = std::chrono::steady_clock::now();
  LaneResult out;
  out.verdict.gate = Gate::build;
  COPPICE_TRY_VOID(ready(candidate_, job, out));
  bool passed = out.verdict.failure == FailureClass::none;
  out.verdict.gate = passed ? Gate::smoke : out.verdict.gate;
  std::optional<std::uint64_t> last;  // the workload that ran last
  for (const PlanToLoad& plan : job.plans) {
    if (!passed) {
      break;
    }
    last = plan.workload;
    COPPICE_TRY_VOID(poison_workspace(job));
    Block block;  // all distributions once, untimed
    block.items = order(plan.workload, job.order_seed ^ 0x5a5a, false);
    std::vector<float> ignored;
    COPPICE_TRY(passed, run_block(*candidate_, job, plan.workload, block, ignored, out));
    if (passed) {
      COPPICE_TRY(passed, verify_state(job, plan.workload, out));
    }
  }
  out.verdict.gate = passed ? Gate::correctness : out.verdict.gate;
  for (const PlanToLoad& plan : job.plans) {
    if (passed && job.timing && !workloads_[plan.workload].hidden) {
      last = plan.workload;
      COPPICE_TRY_VOID(poison_workspace(job));
      COPPICE_TRY(passed, time_workload(job, plan.workload, out));
      if (passed) {
        COPPICE_TRY(passed, verify_state(job, plan.workload, out));
      }
    }
  }
  out.verdict.gate = passed && job.timing ? Gate::paired_baseline : out.verdict.gate;
  COPPICE_TRY(out, finish(std::move(out), passed));
  if (!passed && last) {
    COPPICE_TRY_VOID(look_for_spoilt_inputs(job, *last, out));
  }
  if (passed && job.watched) {
    check_memory(job, out);
  }
  if (out.verdict.valid && job.counters) {
    out.counters = count(job);
  }
  out.cost.total = seconds_since(begin);
  return out;
}

Result<bool> CudaLane::device_is_sound() {
  COPPICE_TRY(const std::uint64_t wrong, judge_->canary());
  return wrong == 0;
}

}  // namespace coppice::evaluators::cuda
