// The agent's side of the judge and candidate processes: typed requests with deadlines.
#pragma once

#include "core/counters.h"
#include "core/evidence.h"
#include "evaluators/cuda/candidate_worker.h"
#include "evaluators/cuda/driver_api.h"
#include "evaluators/cuda/judge_worker.h"

#include <memory>
#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

struct SharedRegions {
  IpcHandle inputs, outputs;
};

struct SlotCheck {
  std::vector<DeviceComparison> results;  // results[output * slots + slot]
  std::uint64_t damaged_guards = 0;
};

struct StateCheck {
  std::uint64_t changed_inputs = 0, input_guards = 0, workspace_guards = 0;
};

// The judge. Any error means that the device or our own code failed, never the candidate.
class JudgeClient {
 public:
  static Result<JudgeClient> start(JudgeSetup setup, Nanoseconds deadline);

  const Json& facts() const { return facts_; }
  double start_seconds() const { return start_seconds_; }
  Result<SharedRegions> open(std::uint64_t workload);
  Result<double> draw(std::uint64_t workload,
                      std::uint64_t set,
                      std::uint64_t seed,
                      const std::vector<DrawFill>& fills);
  Result<double> expect(std::uint64_t workload, std::uint64_t set);
  Result<std::string> read(std::uint64_t workload,
                           std::uint64_t set,
                           const std::string& tensor,
                           bool expected);
  Result<void> write(std::uint64_t workload,
                     std::uint64_t set,
                     const std::string& tensor,
                     const std::string& bytes);
  // `slot` 0 is the candidate's, 1 the baseline's.
  Result<IpcHandle> workspace(std::uint64_t slot, std::uint64_t bytes);
  Result<void> arm(std::uint64_t workload);
  Result<SlotCheck> check(std::uint64_t workload,
                          const std::vector<std::uint32_t>& sets,
                          const std::vector<DeviceTolerance>& limits);
  Result<StateCheck> verify(std::uint64_t workload,
                            std::uint64_t slot,
                            const std::vector<GuardRange>& workspace_guards);
  Result<std::uint64_t> canary();
  Result<double> stream(std::uint64_t bytes);
  Result<void> close(std::uint64_t workload);

 private:
  explicit JudgeClient(WorkerProcess process) : process_(std::move(process)) {}
  Result<std::string> ask(JudgeRequest request, std::string payload);
  WorkerProcess process_;
  Json facts_;
  double start_seconds_ = 0;
};

// Why a candidate's process could not answer; `none` when it did.
struct CandidateFailure {
  FailureClass failure = FailureClass::none;
  std::string message;
};

struct RunResult {
  CandidateFailure failure;
  RunReply reply;
  std::vector<float> microseconds;
};

struct PlanToLoad {
  std::uint64_t workload = 0;
  ResolvedPlan plan;
  std::uint64_t binary = 0;
};

// Something in a process of its own that runs and times launches over the judge's memory.
class BlockRunner {
 public:
  BlockRunner() = default;
  BlockRunner(BlockRunner&&) = default;
  BlockRunner& operator=(BlockRunner&&) = default;
  virtual ~BlockRunner() = default;
  // Each item reads its set of values and fills its slot; one time for each.
  virtual Result<RunResult> run(std::uint64_t workload,
                                const RunOptions& options,
                                const std::vector<RunItem>& items,
                                Nanoseconds deadline) = 0;
  virtual bool kill() = 0;
};

// A candidate's process. After a failure it must be retired: kill() and start another.
class CandidateClient final : public BlockRunner {
 public:
  static Result<CandidateClient> start(const CandidateSetup& setup, Nanoseconds deadline);

  double start_seconds() const { return start_seconds_; }
  Result<double> attach(std::uint64_t workload, const SharedRegions& regions);
  Result<void> workspace(const IpcHandle& handle);
  // Seconds, or why the driver refused the code.
  struct Loaded {
    CandidateFailure failure;
    double seconds = 0;
    std::string resources;  // JSON
  };
  Result<Loaded> load(const std::vector<std::string>& binaries,
                      const std::vector<PlanToLoad>& plans);
  Result<RunResult> run(std::uint64_t workload,
                        const RunOptions& options,
                        const std::vector<RunItem>& items,
                        Nanoseconds deadline) override;
  Result<std::string> tighten();
  // What reads the counters, or why nothing can; before load(), for a process that is not timed.
  Result<std::string> open_profiler(const std::string& trusted_cubin);
  Result<WorkloadCounters> count(std::uint64_t workload, RunItem item, Nanoseconds deadline);
  bool kill() override { return process_.kill(); }
  bool alive() const { return process_.alive(); }
  pid_t pid() const { return process_.pid(); }

 private:
  explicit CandidateClient(WorkerProcess process) : process_(std::move(process)) {}
  WorkerProcess process_;
  double start_seconds_ = 0;
};

}  // namespace coppice::evaluators::cuda
