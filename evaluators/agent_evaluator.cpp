// Preparation, scan and compilation on the program's side; one agent and one lock per device.

#include "evaluators/agent_evaluator.h"

#include "core/thread_safety.h"
#include "evaluators/agent_client.h"
#include "evaluators/compile_cache.h"
#include "evaluators/cpu/host_toolchain.h"
#include "evaluators/cuda/nvrtc_toolchain.h"
#include "evaluators/cuda/target_check.h"
#include "evaluators/prepare.h"
#include "evaluators/scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <thread>

namespace coppice::evaluators {
namespace {

constexpr int kMostRestarts = 3;  // in a row, before the device counts as lost

// What build() hands to measure().
struct Artifact {
  std::vector<DeviceWorkload> timed, hidden;
  std::map<Digest, std::string> binaries;
};

class AgentEvaluator final : public Evaluator {
 public:
  AgentEvaluator(AgentConfig config, std::unique_ptr<Toolchain> toolchain)
      : config_(std::move(config)),
        toolchain_(std::move(toolchain)),
        agents_(static_cast<std::size_t>(std::max(config_.devices, 1))) {}

  Result<void> start();
  int devices() const override { return static_cast<int>(agents_.size()); }
  Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token stop) override;
  Result<void> adopt_baselines(const std::vector<BaselineFrozen>& frozen,
                               std::stop_token stop) override;
  Built build(const EvaluationTask& task, std::stop_token stop) override;
  Result<Evidence> measure(const EvaluationTask& task,
                           const Built& built,
                           int device,
                           std::stop_token stop) override;
  Json environment() const override { return environment_; }

 private:
  struct Agent {
    Mutex mutex;
    std::optional<AgentClient> client COPPICE_GUARDED_BY(mutex);
    int restarts COPPICE_GUARDED_BY(mutex) = 0;
    std::string lost;  // why it takes no part any more
  };
  void lose(Agent& agent, const Error& error) COPPICE_REQUIRES(agent.mutex);
  Result<Agent*> first_alive();
  Result<void> adopt_on_all(const Agent* but);
  DeviceSession session() const;
  Result<void> check_target() const;
  Result<void> revive(Agent& agent) COPPICE_REQUIRES(agent.mutex);
  Evidence failed(const EvaluationTask& task, Verdict verdict) const;
  std::optional<Verdict> compile_all(const Prepared& prepared,
                                     Artifact& out,
                                     Built& built,
                                     std::stop_token stop,
                                     std::string& log);
  Nanoseconds deadline(const EvaluationTask& task) const;

  AgentConfig config_;
  std::unique_ptr<Toolchain> toolchain_;
  std::vector<Agent> agents_;
  std::map<std::string, ValueMap> scalars_;
  std::vector<BaselineFrozen> frozen_;
  bool have_frozen_ = false;
  Json environment_;
  // Builds share it, a measurement owns it alone where both need the same cores.
  std::shared_mutex cores_;
};

DeviceSession AgentEvaluator::session() const {
  DeviceSession out;
  out.op = config_.op;
  out.suite = config_.suite;
  out.lane_threads = config_.lane_threads;
  out.isolation = config_.isolation;
  out.cache_folder = config_.cache_folder;
  out.peaks = config_.target.peaks;
  out.ceilings = config_.target.ceilings;
  out.thorough = config_.thorough;
  out.skip_gates = config_.skip_gates;
  return out;
}

Result<void> AgentEvaluator::revive(Agent& agent) {
  if (!agent.lost.empty()) {
    return Error{ErrorCode::environment, agent.lost};
  }
  if (agent.client && !agent.client->lost()) {
    return {};
  }
  agent.client.reset();
  COPPICE_TRY(AgentClient fresh,
              AgentClient::start(config_.backend,
                                 config_.launcher,
                                 config_.program,
                                 static_cast<int>(&agent - agents_.data()),
                                 config_.hidden_variables));
  COPPICE_TRY_VOID(fresh.open(session()));
  if (have_frozen_) {
    COPPICE_TRY_VOID(fresh.adopt(frozen_));
  }
  agent.client.emplace(std::move(fresh));
  return {};
}

// One device of several that can't be used is said aloud; the others do its work.
void AgentEvaluator::lose(Agent& agent, const Error& error) {
  agent.lost = error.message.empty() ? "lost" : error.message;
  agent.client.reset();
  fmt::print(stderr, "device {} takes no part: {}\n", &agent - agents_.data(), agent.lost);
}

Result<AgentEvaluator::Agent*> AgentEvaluator::first_alive() {
  for (Agent& agent : agents_) {
    if (agent.lost.empty()) {
      return &agent;
    }
  }
  return Error{ErrorCode::environment, "every device is lost: " + agents_.front().lost};
}

Result<void> AgentEvaluator::start() {
  std::optional<Error> trouble;
  for (Agent& agent : agents_) {
    const MutexLock lock(agent.mutex);
    if (const Result<void> revived = revive(agent); !revived.ok()) {
      if (agents_.size() == 1) {
        return revived;
      }
      lose(agent, revived.error());
      trouble = revived.error();
    }
  }
  const Result<Agent*> found = first_alive();
  if (!found.ok()) {
    return *trouble;
  }
  Agent& first = **found;
  const MutexLock lock(first.mutex);
  COPPICE_TRY(scalars_, first.client->host_scalars());
  COPPICE_TRY(environment_, first.client->probe());
  environment_.set("toolchain", toolchain_->version()).set("devices", devices());
  return check_target();
}

// A table that is wrong about its device is said aloud; one of another architecture is refused.
Result<void> AgentEvaluator::check_target() const {
  const auto device = environment_.reader("environment").find("device");
  if (config_.backend == "cuda" && device) {
    COPPICE_TRY(const std::vector<std::string> differing,
                cuda::differences(config_.target, device->copy()));
    for (const std::string& difference : differing) {
      fmt::print(stderr, "{}\n", difference);
    }
  }
  return {};
}

Result<std::vector<BaselineFrozen>> AgentEvaluator::freeze_baselines(std::stop_token stop) {
  const std::unique_lock cores(cores_);
  COPPICE_TRY(Agent * first, first_alive());
  {
    const MutexLock lock(first->mutex);
    COPPICE_TRY_VOID(revive(*first));
    COPPICE_TRY(frozen_, first->client->freeze(stop));
    have_frozen_ = true;
  }
  COPPICE_TRY_VOID(adopt_on_all(first));
  return frozen_;
}

// Each device has its own opponent process; they start side by side.
Result<void> AgentEvaluator::adopt_on_all(const Agent* but) {
  std::vector<Result<void>> results(agents_.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < agents_.size(); ++i) {
      Agent& agent = agents_[i];
      if (&agent == but || !agent.lost.empty()) {
        continue;
      }
      threads.emplace_back([this, &agent, &result = results[i]] {
        const MutexLock lock(agent.mutex);
        result = revive(agent);
        if (result.ok()) {
          result = agent.client->adopt(frozen_);
        }
      });
    }
  }
  for (std::size_t i = 0; i < agents_.size(); ++i) {
    if (!results[i].ok()) {
      if (agents_.size() == 1) {
        return results[i];
      }
      const MutexLock lock(agents_[i].mutex);
      lose(agents_[i], results[i].error());
    }
  }
  const Result<Agent*> left = first_alive();
  return left.ok() ? Result<void>() : left.error();
}

Result<void> AgentEvaluator::adopt_baselines(const std::vector<BaselineFrozen>& frozen,
                                             std::stop_token stop) {
  static_cast<void>(stop);
  const std::unique_lock cores(cores_);
  frozen_ = frozen;
  have_frozen_ = true;
  return adopt_on_all(nullptr);
}

Evidence AgentEvaluator::failed(const EvaluationTask& task, Verdict verdict) const {
  Evidence out;
  out.attempt = task.attempt;
  out.candidate = task.candidate.id;
  out.fidelity = task.fidelity;
  out.precision = task.candidate.precision;
  out.verdict = std::move(verdict);
  return out;
}

std::optional<Verdict> AgentEvaluator::compile_all(
    const Prepared& prepared, Artifact& out, Built& built, std::stop_token stop, std::string& log) {
  std::vector<Digest> digests;
  built.cached = true;
  for (const CompileJob& job : prepared.jobs) {
    Result<Compiled> compiled = toolchain_->compile(job, stop);
    if (!compiled.ok()) {
      return Verdict{false, Gate::build, FailureClass::infrastructure, compiled.error().message};
    }
    built.compile += compiled->elapsed;
    built.cached = built.cached && compiled->cached;
    if (compiled->failure != FailureClass::none) {
      log = compiled->log;
      const Gate gate =
          compiled->failure == FailureClass::forbidden_code ? Gate::binary : Gate::build;
      return Verdict{false, gate, compiled->failure, compiled->message};
    }
    const Digest digest = sha256(compiled->binary);
    digests.push_back(digest);
    out.binaries.emplace(digest, std::move(compiled->binary));
  }
  for (const PreparedWorkload& w : prepared.workloads) {
    (w.hidden ? out.hidden : out.timed).push_back({w.workload, w.plan, digests[w.job]});
  }
  return std::nullopt;
}

Built AgentEvaluator::build(const EvaluationTask& task, std::stop_token stop) {
  Built out;
  const Suite* suite = config_.op.suite(config_.suite);
  const Prepared prepared =
      prepare(task.candidate, {config_.op, *suite, &config_.target, scalars_, {}});
  std::optional<Verdict> refused = prepared.refused;
  if (!refused) {
    const bool skip_scan =
        std::find(config_.skip_gates.begin(), config_.skip_gates.end(), Gate::scan) !=
        config_.skip_gates.end();
    refused = skip_scan ? std::nullopt
                        : scan_source(task.candidate.source,
                                      {config_.backend, op_header_names(config_.op)});
  }
  auto artifact = std::make_shared<Artifact>();
  std::string log;
  if (!refused) {
    std::shared_lock cores(cores_, std::defer_lock);
    if (config_.pause_builds) {
      cores.lock();
    }
    refused = compile_all(prepared, *artifact, out, std::move(stop), log);
  }
  if (refused) {
    Evidence evidence = failed(task, std::move(*refused));
    evidence.cost.compile = out.compile;
    evidence.artifacts.set("compiler_log", log);
    out.failed = std::move(evidence);
    return out;
  }
  out.artifact = std::move(artifact);
  return out;
}

Nanoseconds AgentEvaluator::deadline(const EvaluationTask& task) const {
  const Suite* suite = config_.op.suite(config_.suite);
  const auto workloads = static_cast<std::int64_t>(suite->workloads.size() + suite->hidden.size());
  const std::int64_t each = task.fidelity == Fidelity::search ? 60 : 180;
  return std::chrono::seconds(120 + each * workloads);
}

Result<Evidence> AgentEvaluator::measure(const EvaluationTask& task,
                                         const Built& built,
                                         int device,
                                         std::stop_token stop) {
  COPPICE_CHECK(device >= 0 && device < devices());
  if (built.failed) {
    return *built.failed;
  }
  const auto& artifact = *static_cast<const Artifact*>(built.artifact.get());
  DeviceTask request;
  request.attempt = task.attempt;
  request.candidate = task.candidate.id;
  request.fidelity = task.fidelity;
  request.precision = task.candidate.precision;
  request.secret_seed = task.secret_seed;
  request.best_log_cost = task.best_log_cost;
  request.timed = artifact.timed;
  request.hidden = artifact.hidden;
  request.binaries = artifact.binaries;
  request.source = task.candidate.source;

  std::unique_lock cores(cores_, std::defer_lock);
  if (config_.pause_builds) {
    cores.lock();
  }
  Agent& agent = agents_[static_cast<std::size_t>(device)];
  const MutexLock lock(agent.mutex);
  COPPICE_TRY_VOID(revive(agent));
  Result<Evidence> evidence = agent.client->evaluate(request, deadline(task), stop);
  if (evidence.ok()) {
    agent.restarts = 0;
    evidence->cost.compile = built.compile;
    return evidence;
  }
  if (stop.stop_requested() || evidence.error().code == ErrorCode::interrupted) {
    return Error{ErrorCode::interrupted, "stopped while measuring"};
  }
  if (!agent.client->lost() || ++agent.restarts >= kMostRestarts) {
    return evidence;
  }
  // The agent died under this candidate: nobody's fault is proven, so it is not charged.
  return failed(
      task, Verdict{false, Gate::smoke, FailureClass::infrastructure, evidence.error().message});
}

}  // namespace

bool builds_disturb_timing() {
  return std::thread::hardware_concurrency() <= 2;
}

Result<std::unique_ptr<Toolchain>> open_toolchain(const std::string& backend,
                                                  const std::string& cache_folder,
                                                  const std::string& architecture,
                                                  const std::vector<std::string>& hidden) {
  if (backend == "cuda") {
    COPPICE_TRY(std::unique_ptr<Toolchain> nvrtc,
                cuda::NvrtcToolchain::open(architecture, {}, hidden));
    return cached(std::move(nvrtc), cache_folder);
  }
  if (backend == "cpu") {
    cpu::HostToolchainConfig config;
    config.hidden = hidden;
    COPPICE_TRY(std::unique_ptr<Toolchain> host, cpu::HostToolchain::open(std::move(config)));
    return cached(std::move(host), cache_folder);
  }
  return Error{ErrorCode::config, fmt::format("no toolchain for backend '{}'", backend)};
}

Result<std::unique_ptr<Evaluator>> open_agents(AgentConfig config,
                                               std::unique_ptr<Toolchain> toolchain,
                                               std::stop_token stop) {
  static_cast<void>(stop);
  if (config.op.suite(config.suite) == nullptr) {
    return Error{ErrorCode::config,
                 fmt::format("op '{}' has no suite '{}'", config.op.name, config.suite)};
  }
  auto out = std::make_unique<AgentEvaluator>(std::move(config), std::move(toolchain));
  COPPICE_TRY_VOID(out->start());
  return std::unique_ptr<Evaluator>(std::move(out));
}

Result<Json> probe_backend(const std::string& backend,
                           const std::vector<std::string>& launcher,
                           const std::string& program) {
  COPPICE_TRY(AgentClient client, AgentClient::start(backend, launcher, program));
  return client.probe();
}

}  // namespace coppice::evaluators
