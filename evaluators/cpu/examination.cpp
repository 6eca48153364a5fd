// The frame of an examination: processes, launches, judgement, and the packet at the end.

#include "evaluators/cpu/examination.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace coppice::evaluators::cpu {
namespace {

std::uint64_t total_bytes(const std::vector<TensorShape>& tensors) {
  std::uint64_t out = 0;
  for (const TensorShape& tensor : tensors) {
    out += tensor.bytes;
  }
  return out;
}

}  // namespace

Examination::Examination(CpuSession& session, const DeviceTask& task, std::stop_token stop)
    : s_(session),
      task_(task),
      stop_(std::move(stop)),
      rng_(stream(task.secret_seed, "examination", task.attempt.value)),
      values_seed_(task.secret_seed) {
  // During the search all candidates meet the same values (secret to all of them), so that the
  // judge computes each expected output once. Finalists and promotions bring their own.
  if (task.fidelity == Fidelity::search) {
    values_seed_ = s_.search_seed.value_or(task.secret_seed);
    s_.search_seed = values_seed_;
  }
  evidence_.attempt = task.attempt;
  evidence_.candidate = task.candidate;
  evidence_.fidelity = task.fidelity;
  evidence_.precision = task.precision;
  started_ = steady_now();
}

Verdict Examination::refuse(Gate gate, FailureClass failure, std::string message) const {
  return Verdict{false, gate, failure, std::move(message)};
}

std::uint32_t Examination::fresh_poison() {
  // A quiet NaN in f32, and in bf16 and f16 in each half; other bits change from launch to launch.
  const auto half = static_cast<std::uint32_t>(0x7fc1U + rng_.below(0x3e));
  return half | (half << 16);
}

std::uint64_t Examination::seed_of(const std::string& workload,
                                   const std::string& value_case,
                                   std::uint64_t index) const {
  return mix64(mix64(values_seed_ + index) ^ hash_text(workload) ^ mix64(hash_text(value_case)));
}

const DeviceWorkload& Examination::smallest() const {
  const DeviceWorkload* best = &task_.timed.front();
  std::uint64_t least = ~0ULL;
  for (const DeviceWorkload& work : task_.timed) {
    const Workload* w = s_.workload(work.workload);
    const auto tensors =
        w != nullptr ? tensor_shapes(s_.config.op, *s_.suite, *w)
                     : Result<std::vector<TensorShape>>(Error{ErrorCode::missing, "no workload"});
    if (tensors.ok() && total_bytes(*tensors) < least) {
      least = total_bytes(*tensors);
      best = &work;
    }
  }
  return *best;
}

Result<Examination::Bench> Examination::bench(const DeviceWorkload& work, int shift) {
  Bench out;
  out.work = &work;
  COPPICE_TRY(out.station, s_.station(work.workload));
  out.layout = out.station->shifted(shift);
  out.workspace = workspace_layout(work.plan);
  return out;
}

Refusal Examination::refusal_of(const Launch& launch, Gate gate, const std::string& where) const {
  if (launch.ok()) {
    return std::nullopt;
  }
  return refuse(
      launch.gate.value_or(gate), launch.failure, fmt::format("{}: {}", where, launch.message));
}

Result<Refusal> Examination::ensure_process(Bench& b, Gate gate) {
  if (b.runner && b.runner->alive() && b.next_slot < b.station->size().slots) {
    return Refusal();
  }
  b.runner.reset();
  b.next_slot = 0;
  const auto binary = binaries_.find(b.work->binary);
  if (binary == binaries_.end()) {
    return Error{ErrorCode::corrupt, "a binary is missing"};
  }
  COPPICE_TRY(const int workspace, b.station->workspace_fd(b.workspace.bytes));
  CandidateStart start;
  start.layout = b.layout;
  start.workspace = b.workspace;
  start.plan = b.work->plan;
  start.slots = static_cast<int>(b.station->size().slots);
  const auto wanted = static_cast<int>(std::min<std::int64_t>(b.work->plan.threads, 4096));
  start.threads = wanted > 0 ? std::min(wanted, s_.threads) : s_.threads;
  ++processes_;
  Launch outcome;
  Result<Runner> runner = s_.launcher->launch(
      start,
      {b.station->inputs_fd(), b.station->outputs_fd(), workspace, binary->second.fd()},
      outcome);
  if (!runner.ok() && outcome.ok()) {
    // The launcher itself is gone; a fresh one gets one more try.
    COPPICE_TRY_VOID(s_.renew_launcher());
    runner = s_.launcher->launch(
        start,
        {b.station->inputs_fd(), b.station->outputs_fd(), workspace, binary->second.fd()},
        outcome);
  }
  if (!runner.ok()) {
    return outcome.ok() ? Result<Refusal>(runner.error())
                        : Result<Refusal>(refusal_of(outcome, gate, b.work->workload));
  }
  b.runner.emplace(std::move(*runner));
  evidence_.environment.set("isolation", to_text(b.runner->isolation_level()));
  return Refusal();
}

Result<Launch> Examination::launch(Bench& b, std::uint64_t entry, std::uint32_t poison) {
  if (stop_.stop_requested()) {
    return Error{ErrorCode::interrupted, "stopped"};
  }
  Station::Refresh refresh;
  refresh.entry = entry;
  refresh.slot = b.next_slot++;
  refresh.poison = poison;
  refresh.workspace_bytes = b.workspace.bytes;
  refresh.threads = s_.threads;
  b.station->refresh(b.layout, refresh);
  ++launches_;
  return b.runner->launch(
      static_cast<std::uint32_t>(refresh.slot), 0, s_.launch_deadline(b.work->workload));
}

// Looks at the slot that was just written; the candidate is frozen meanwhile.
Result<Refusal> Examination::judge(
    Bench& b, std::uint64_t entry, std::uint32_t poison, Gate gate, const std::string& label) {
  const std::uint64_t slot = b.next_slot - 1;
  if (auto damage = b.station->damage(b.layout, slot); damage && !s_.skips(Gate::write_set)) {
    return Refusal(refuse(
        Gate::write_set, FailureClass::guard_damaged, fmt::format("{}: {}", label, *damage)));
  }
  JudgeClient::Question question;
  question.workload = b.work->workload;
  question.entry = entry;
  question.origin = b.station->origin(slot);
  question.precision = task_.precision;
  question.poison = poison;
  for (const Place& place : b.layout.outputs) {
    question.places.push_back(place.data);
  }
  COPPICE_TRY(const Judgement judged, s_.judge->compare(question));
  worst_.emplace_back(label, judged.error());
  const JudgedOutput* bad = judged.bad();
  if (bad == nullptr) {
    return Refusal();
  }
  const bool unwritten = bad->failure == FailureClass::unwritten_output;
  const Gate at = unwritten && gate < Gate::state ? Gate::write_set : gate;
  if (s_.skips(at)) {
    return Refusal();
  }
  FailureClass failure = bad->failure;
  if (gate == Gate::state) {
    failure = FailureClass::unstable;
  } else if (gate == Gate::timed_outputs) {
    failure = FailureClass::stale_result;
  }
  return Refusal(refuse(at, failure, fmt::format("{}: {}", label, bad->message)));
}

Evidence Examination::finish(const Refusal& refusal) {
  Evidence out = std::move(evidence_);
  out.cost.device = steady_now() - started_;
  if (refusal) {
    out.verdict = *refusal;
    out.performance.reset();
  } else {
    out.verdict = Verdict{true, Gate::paired_baseline, FailureClass::none, ""};
    out.verdict.gate = surprise_ ? Gate::reverify : Gate::physics;
  }
  std::map<std::string, double> by_label;
  for (const auto& [label, error] : worst_) {
    by_label[label] = std::max(by_label[label], error);
    out.error = std::max(out.error, std::isfinite(error) ? error : 1e308);
  }
  Json errors = Json::object();
  for (const auto& [label, error] : by_label) {
    errors.set(label, error);
  }
  out.validation.set("errors", std::move(errors)).set("processes", processes_);
  out.validation.set("launches", launches_);
  if (surprise_) {
    out.validation.set("label", "surprise");
  }
  if (!partial_.is_null()) {
    out.validation.set("partial", partial_);
  }
  Json digests = Json::object();
  for (const auto& [digest, memory] : binaries_) {
    digests.set(digest.hex(), static_cast<std::int64_t>(task_.binaries.at(digest).size()));
  }
  out.artifacts.set("binaries", std::move(digests));
  out.environment.set("device", s_.machine.name).set("threads", s_.threads);
  out.environment.set("launch_floor_ns", s_.ceilings.launch_floor * 1e9);
  // What the roofline score and the physics gate went by.
  out.environment.set("read_ceiling", s_.ceilings.read_all).set("fma_ceiling", s_.ceilings.f32_fma);
  out.environment.set("ceiling_measurements", s_.ceiling_measurements);
  return out;
}

Result<Evidence> Examination::run() {
  if (task_.timed.empty()) {
    return finish(refuse(Gate::resources, FailureClass::not_claimed, "no workload to time"));
  }
  for (const auto& check :
       {&Examination::check_source, &Examination::check_plans, &Examination::check_binaries}) {
    if (Refusal refused = (this->*check)()) {
      return finish(refused);
    }
  }
  for (const auto& [digest, bytes] : task_.binaries) {
    COPPICE_TRY(SharedMemory memory, SharedMemory::create("binary", bytes.size()));
    std::memcpy(memory.data(), bytes.data(), bytes.size());
    COPPICE_TRY_VOID(memory.seal_future_writes());
    binaries_.emplace(digest, std::move(memory));
  }
  for (const auto& check : {&Examination::check_cases,
                            &Examination::check_state,
                            &Examination::check_hidden,
                            &Examination::time_all}) {
    COPPICE_TRY(const Refusal refused, (this->*check)());
    if (refused) {
      return finish(refused);
    }
  }
  return finish(std::nullopt);
}

}  // namespace coppice::evaluators::cpu
