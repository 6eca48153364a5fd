// DeviceBackend over a CudaLane: gates that need no device first, then the lane, then the evidence.
#include "evaluators/cuda/cuda_backend.h"

#include "evaluators/cuda/cubin.h"
#include "evaluators/cuda/device.h"
#include "evaluators/cuda/evidence.h"
#include "evaluators/cuda/lane.h"
#include "evaluators/cuda/launch.h"
#include "evaluators/prepare.h"
#include "evaluators/scan.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>
#include <utility>

namespace coppice::evaluators::cuda {
namespace {

int chosen_device(int ordinal) {
  const char* named = std::getenv("COPPICE_CUDA_DEVICE");
  return ordinal >= 0 ? ordinal : named != nullptr ? std::atoi(named) : 0;
}

Evidence refused(const DeviceTask& task, Gate gate, FailureClass failure, std::string message) {
  Evidence out;
  out.attempt = task.attempt;
  out.candidate = task.candidate;
  out.fidelity = task.fidelity;
  out.precision = task.precision;
  out.verdict = Verdict{false, gate, failure, std::move(message)};
  return out;
}

class CudaBackend final : public DeviceBackend {
 public:
  explicit CudaBackend(int ordinal) : ordinal_(chosen_device(ordinal)) {}

  Json probe() override;
  Result<void> open(DeviceSession session, std::stop_token stop) override;
  Result<std::map<std::string, ValueMap>> host_scalars() override;
  Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token stop) override;
  Result<void> adopt_baselines(const std::vector<BaselineFrozen>& frozen,
                               std::stop_token stop) override;
  Result<Evidence> evaluate(const DeviceTask& task, std::stop_token stop) override;

 private:
  Result<void> need() const;
  Result<void> measure_floors();
  Result<LaneJob> baseline_job(const BaselineSpec& spec, const std::stop_token& stop);
  // A baseline with one of its environments.
  struct Opponent {
    const BaselineSpec* spec = nullptr;
    std::string name;
    std::map<std::string, std::string, std::less<>> environment;
  };
  std::vector<Opponent> opponents() const;
  Result<void> draw_for_baselines();
  Result<Json> agree_on_reference();
  Result<LaneResult> freeze_on_lane(const Opponent& opponent, const std::stop_token& stop);
  Result<std::vector<BaselineFrozen>> freeze_one(const Opponent& opponent,
                                                 const std::stop_token& stop);
  std::optional<Evidence> refuse_early(const DeviceTask& task) const;
  Result<LaneJob> lane_job(const DeviceTask& task) const;

  int ordinal_;
  std::unique_ptr<DeviceSession> session_;
  const Suite* suite_ = nullptr;
  Json facts_;
  std::unique_ptr<NvrtcToolchain> toolchain_;
  std::unique_ptr<CudaLane> lane_;
  EvidenceContext context_;
  std::set<std::pair<CandidateId, Fidelity>> counted_;
  bool drawn_ = false;
};

Json CudaBackend::probe() {
  Json out = Json::object();
  out.set("backend", "cuda");
  const Result<Json> facts = facts_.is_null() ? probe_device(ordinal_) : Result<Json>(facts_);
  if (facts.ok()) {
    out.set("device", *facts);
  } else {
    out.set("missing", facts.error().message);
  }
  const Result<const NvrtcApi*> nvrtc = load_nvrtc();
  if (nvrtc.ok()) {
    out.set("nvrtc", fmt::format("{}.{}", (*nvrtc)->major, (*nvrtc)->minor));
  } else {
    out.set("missing_nvrtc", nvrtc.error().message);
  }
  if (lane_) {
    out.set("isolation", lane_->isolation()).set("toolchain", toolchain_->version());
  }
  return out;
}

Result<void> CudaBackend::need() const {
  return lane_ ? Result<void>() : Error{ErrorCode::usage, "cuda backend: open a session first"};
}

Result<void> CudaBackend::open(DeviceSession session, std::stop_token) {
  lane_.reset();
  counted_.clear();
  session_ = std::make_unique<DeviceSession>(std::move(session));
  suite_ = session_->op.suite(session_->suite);
  if (suite_ == nullptr) {
    return Error{ErrorCode::missing,
                 "op " + session_->op.name + ": no suite \"" + session_->suite + "\""};
  }
  COPPICE_TRY(facts_, probe_device(ordinal_));
  LaneOptions options;
  options.device = ordinal_;
  COPPICE_TRY(options.architecture, facts_.reader("device").text_or("architecture", "sm_80"));
  COPPICE_TRY(const std::int64_t memory,
              facts_.reader("device").integer_or("memory_bytes", 1ll << 34));
  options.pool_bytes = static_cast<std::uint64_t>(memory) / 2;
  options.tighten = session_->isolation != "none";
  COPPICE_TRY(toolchain_, NvrtcToolchain::open(options.architecture));
  COPPICE_TRY(lane_, CudaLane::open(session_->op, *suite_, options));
  context_ =
      EvidenceContext{&session_->op, suite_, lane_.get(), facts_, toolchain_->version(), {}, {}, 0};
  drawn_ = false;
  return measure_floors();
}

// The practical floor of each timed workload: a plain cold read of its least bytes, or its
// arithmetic at the rate that the target's table calls reachable, whichever takes longer.
Result<void> CudaBackend::measure_floors() {
  const double rate = matrix_rate(*suite_, session_->ceilings);
  context_.fastest_matrix = fastest_matrix_rate(session_->peaks);
  for (const LaneWorkload& w : lane_->workloads()) {
    if (w.hidden) {
      continue;
    }
    const WorkloadCost cost = workload_cost(session_->op, *suite_, w);
    COPPICE_TRY(const double seconds,
                lane_->judge().stream(static_cast<std::uint64_t>(std::max(cost.bytes, 16.0))));
    const double arithmetic = rate > 0 ? cost.flops / rate : 0.0;
    context_.floor_seconds[w.workload->name] = std::max(seconds, arithmetic);
  }
  return {};
}

Result<std::map<std::string, ValueMap>> CudaBackend::host_scalars() {
  COPPICE_TRY_VOID(need());
  return lane_->host_scalars();
}

Result<LaneJob> CudaBackend::baseline_job(const BaselineSpec& spec, const std::stop_token& stop) {
  Candidate candidate;
  candidate.backend = "cuda";
  candidate.source_name = spec.source_name;
  candidate.source = spec.source;
  candidate.plan = *spec.plan;
  const std::map<std::string, ValueMap> scalars = lane_->host_scalars();
  const Prepared prepared = prepare(candidate, {session_->op, *suite_, nullptr, scalars, {}});
  const std::string where = "baseline " + spec.name;
  if (prepared.refused) {
    return Error{ErrorCode::config, where + ": " + prepared.refused->message};
  }
  LaneJob job;
  for (const CompileJob& one : prepared.jobs) {
    COPPICE_TRY(Compiled compiled, toolchain_->compile(one, stop));
    if (compiled.failure != FailureClass::none) {
      return Error{ErrorCode::config, where + ": " + compiled.message};
    }
    job.binaries.push_back(std::move(compiled.binary));
  }
  for (const PreparedWorkload& w : prepared.workloads) {
    job.plans.push_back({*lane_->find(w.workload), w.plan, w.job});
  }
  job.precision = headline_precision(session_->op, *suite_);
  return job;
}

Result<LaneResult> CudaBackend::freeze_on_lane(const Opponent& opponent,
                                               const std::stop_token& stop) {
  const BaselineSpec& spec = *opponent.spec;
  if (spec.plan) {
    COPPICE_TRY(const LaneJob job, baseline_job(spec, stop));
    return lane_->freeze(job);
  }
  OpponentSetup setup;
  setup.name = opponent.name;
  setup.source = spec.source;
  setup.environment = opponent.environment;
  return lane_->freeze_opponent(std::move(setup), headline_precision(session_->op, *suite_));
}

Result<std::vector<BaselineFrozen>> CudaBackend::freeze_one(const Opponent& opponent,
                                                            const std::stop_token& stop) {
  COPPICE_TRY(const LaneResult result, freeze_on_lane(opponent, stop));
  if (!result.verdict.valid) {
    return Error{ErrorCode::config,
                 "baseline " + opponent.name + " is refused at gate " +
                     std::string(to_text(result.verdict.gate)) + ": " + result.verdict.message};
  }
  std::vector<BaselineFrozen> out;
  for (const LaneTiming& timing : result.timings) {
    BaselineFrozen one;
    one.workload = lane_->workloads()[timing.workload].workload->name;
    one.name = opponent.name;
    one.median = median_time(timing.candidate);
    one.prepacked = opponent.spec->prepacked;
    one.details = opponent.spec->plan ? Json::object() : lane_->opponent_details();
    one.details.set("samples", timing.candidate.size()).set("launch", "graph").set("cache", "cold");
    out.push_back(std::move(one));
  }
  return out;
}

// Kernels of the operation's own first: a library behind Python is dear to start, and stays when it
// wins as the last one.
std::vector<CudaBackend::Opponent> CudaBackend::opponents() const {
  std::vector<Opponent> out;
  for (const bool kernels : {true, false}) {
    for (const BaselineSpec& spec : session_->op.baselines) {
      if (spec.backend != "cuda" || spec.prepacked || spec.plan.has_value() != kernels) {
        continue;
      }
      for (const auto& variant : spec.variants) {
        Opponent one{&spec, spec.name, variant};
        for (const auto& [key, value] : variant) {
          one.name += ":" + value;
        }
        out.push_back(std::move(one));
      }
    }
  }
  return out;
}

// The fastest over the whole suite runs beside the candidates; the others stay as recorded times.
Result<std::vector<BaselineFrozen>> CudaBackend::freeze_baselines(std::stop_token stop) {
  COPPICE_TRY_VOID(need());
  COPPICE_TRY_VOID(draw_for_baselines());
  COPPICE_TRY(const Json agreement, agree_on_reference());
  std::vector<BaselineFrozen> out;
  std::optional<Opponent> best;
  std::string last;
  double best_log = std::numeric_limits<double>::infinity();
  for (const Opponent& opponent : opponents()) {
    Result<std::vector<BaselineFrozen>> frozen = freeze_one(opponent, stop);
    if (!frozen.ok() && !opponent.spec->plan) {
      fmt::print(stderr, "no claim against {}: {}\n", opponent.name, frozen.error().message);
      last.clear();
      continue;
    }
    COPPICE_TRY(const std::vector<BaselineFrozen> rows, std::move(frozen));
    double log = 0;
    for (const BaselineFrozen& one : rows) {
      log += std::log(to_seconds(one.median));
    }
    out.insert(out.end(), rows.begin(), rows.end());
    last = opponent.name;
    if (log < best_log) {
      best_log = log;
      best = opponent;
    }
  }
  if (!best) {
    return Error{ErrorCode::config,
                 "op " + session_->op.name + ": no cuda baseline to compare with"};
  }
  if (best->name != last) {
    COPPICE_TRY([[maybe_unused]] const auto again, freeze_one(*best, stop));
  }
  for (BaselineFrozen& one : out) {
    one.chosen = one.name == best->name;
    one.details.set("reference", agreement);
  }
  context_.baseline = best->name;
  return out;
}

// A reference.cu that itself fails the headline's tolerance would judge everybody wrongly.
Result<Json> CudaBackend::agree_on_reference() {
  const PrecisionClass* precision = headline_precision(session_->op, *suite_);
  if (precision == nullptr) {
    return Json::object();
  }
  const ReferenceEffort effort = session_->thorough ? ReferenceEffort{4e9, 20} : ReferenceEffort{};
  COPPICE_TRY(const ReferenceAgreement agreement, lane_->compare_references(*precision, effort));
  constexpr double kWorthTelling = 2;
  if (agreement.seconds > kWorthTelling) {
    fmt::print(
        stderr, "comparing reference.cu with reference.cpp took {:.1f} s\n", agreement.seconds);
  }
  if (agreement.worst > 1.0) {
    return Error{ErrorCode::config,
                 "op " + session_->op.name +
                     ": reference.cu does not agree with reference.cpp: " + agreement.where};
  }
  return to_json(agreement);
}

Result<void> CudaBackend::draw_for_baselines() {
  if (!drawn_ || lane_->pool_spoilt()) {
    // The search goes on with these values, so they must be as secret as any.
    std::uint64_t seed = 0;
    if (::getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
      return Error{ErrorCode::environment, "the system gives no random numbers"};
    }
    COPPICE_TRY([[maybe_unused]] const CudaLane::DrawCost cost, lane_->draw(seed));
    drawn_ = true;
  }
  return {};
}

// The times are those of this device today; only the choice is taken over.
Result<void> CudaBackend::adopt_baselines(const std::vector<BaselineFrozen>& frozen,
                                          std::stop_token stop) {
  COPPICE_TRY_VOID(need());
  for (const BaselineFrozen& one : frozen) {
    if (one.chosen && one.name == context_.baseline && lane_->has_baseline()) {
      return {};  // a second run of this process: it is loaded and timed already
    }
    for (const Opponent& opponent : opponents()) {
      if (one.chosen && opponent.name == one.name) {
        COPPICE_TRY_VOID(draw_for_baselines());
        const auto again = freeze_one(opponent, stop);
        if (!again.ok()) {
          return Error{ErrorCode::environment, again.error().message};
        }
        context_.baseline = opponent.name;
        return {};
      }
    }
  }
  return Error{ErrorCode::missing, "cuda backend: none of the frozen baselines is known here"};
}

std::optional<Evidence> CudaBackend::refuse_early(const DeviceTask& task) const {
  const ScanRules rules{"cuda", op_header_names(session_->op)};
  if (auto verdict = scan_source(task.source, rules)) {
    return refused(task, verdict->gate, verdict->failure, verdict->message);
  }
  const LaunchLimits limits = launch_limits(facts_);
  for (const auto* group : {&task.timed, &task.hidden}) {
    for (const DeviceWorkload& w : *group) {
      if (const std::string broken = broken_limit(w.plan, limits); !broken.empty()) {
        return refused(
            task, Gate::resources, FailureClass::plan_invalid, w.workload + ": " + broken);
      }
    }
  }
  for (const auto& [digest, binary] : task.binaries) {
    const Result<CubinInfo> info = inspect_cubin(binary);
    if (!info.ok()) {
      return refused(task, Gate::binary, FailureClass::forbidden_code, info.error().message);
    }
  }
  return std::nullopt;
}

Result<LaneJob> CudaBackend::lane_job(const DeviceTask& task) const {
  LaneJob job;
  std::map<Digest, std::uint64_t> index;
  for (const auto& [digest, binary] : task.binaries) {
    index[digest] = job.binaries.size();
    job.binaries.push_back(binary);
  }
  for (const auto* group : {&task.timed, &task.hidden}) {
    for (const DeviceWorkload& w : *group) {
      const auto at = lane_->find(w.workload);
      const auto binary = index.find(w.binary);
      if (!at || binary == index.end()) {
        return Error{ErrorCode::corrupt,
                     "cuda backend: task names no workload or binary of its own: " + w.workload};
      }
      job.plans.push_back({*at, w.plan, binary->second});
    }
  }
  job.precision = session_->op.precision_class(task.precision);
  if (job.precision == nullptr) {
    return Error{ErrorCode::missing,
                 "op " + session_->op.name + ": no precision class \"" + task.precision + "\""};
  }
  const bool search = task.fidelity == Fidelity::search;
  job.stop.min_pairs = search ? 16 : 96;
  job.stop.max_pairs = search ? 64 : 512;
  job.stop.half_width = search ? 0.02 : 0.005;
  job.watched = task.fidelity == Fidelity::promote;
  job.order_seed = task.secret_seed ^ task.attempt.value;
  if (search && std::isfinite(task.best_log_cost)) {
    // Other workloads may make up for a slow one, but not without end.
    job.give_up_below = -task.best_log_cost - (task.timed.size() > 1 ? 0.7 : 0.2);
  }
  return job;
}

Result<Evidence> CudaBackend::evaluate(const DeviceTask& task, std::stop_token) {
  COPPICE_TRY_VOID(need());
  if (auto early = refuse_early(task)) {
    return std::move(*early);
  }
  const auto begin = std::chrono::steady_clock::now();
  // A search shares one pool of values; finalists and promotions are judged on new ones.
  if (!drawn_ || task.fidelity != Fidelity::search || lane_->pool_spoilt()) {
    COPPICE_TRY([[maybe_unused]] const CudaLane::DrawCost cost, lane_->draw(task.secret_seed));
    drawn_ = true;
  }
  COPPICE_TRY(LaneJob job, lane_job(task));
  // Once each: whoever times winners in turn asks for the same one again and again.
  job.counters =
      task.fidelity != Fidelity::search && counted_.emplace(task.candidate, task.fidelity).second;
  COPPICE_TRY(LaneResult result, lane_->evaluate(job));
  Evidence out = make_evidence(context_, task, result);
  out.cost.device = std::chrono::steady_clock::now() - begin;
  return out;
}

}  // namespace

std::unique_ptr<DeviceBackend> make_cuda_backend(int ordinal) {
  return std::make_unique<CudaBackend>(ordinal);
}

Result<Json> probe_device(int ordinal) {
  const auto make = [ordinal]() -> WorkerHandler {
    return [ordinal](std::uint32_t, std::string_view, std::string& reply) {
      const Result<Device> device = Device::open(ordinal);
      reply = device.ok() ? to_json(device->facts()).dump() : "!" + device.error().message;
      return false;
    };
  };
  COPPICE_TRY(WorkerProcess process, WorkerProcess::start("coppice-probe", make));
  const WorkerReply reply = process.call(0, "", std::chrono::seconds(30));
  if (reply.outcome != WorkerReply::Outcome::answered) {
    return Error{ErrorCode::environment,
                 "CUDA device " + std::to_string(ordinal) + ": " + reply.detail};
  }
  if (reply.payload.empty() || reply.payload.front() == '!') {
    return Error{ErrorCode::environment,
                 reply.payload.empty() ? "no answer" : reply.payload.substr(1)};
  }
  return Json::parse(reply.payload, "device");
}

}  // namespace coppice::evaluators::cuda
