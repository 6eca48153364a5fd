// One GPU's lane: the judge, one candidate process at a time and the baseline's process, and the
// order of blocks in which a candidate is checked and timed.
#pragma once

#include "core/evidence.h"
#include "core/op.h"
#include "evaluators/cuda/clients.h"
#include "evaluators/cuda/host_reference.h"
#include "evaluators/cuda/launch_once.h"
#include "evaluators/cuda/nvrtc_toolchain.h"
#include "evaluators/cuda/opponent.h"
#include "evaluators/timing_stats.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

inline constexpr double kOpponentSlack = 5.0;

struct LaneOptions {
  int device = 0;
  std::string architecture = "sm_90a";
  std::uint64_t timed_sets = 8;               // value sets of the first case; fewer when large
  std::uint64_t pool_bytes = 64ull << 30;     // at most, all workloads together
  std::uint64_t adjust_bytes = 256ull << 20;  // adjusted cases only for sets up to this size
  bool tighten = true;
};

// A workload with its sets of values. Set 0.. are the timed ones (the first case), then one for
// each further case that can be made.
struct LaneWorkload {
  const Workload* workload = nullptr;
  bool hidden = false;
  std::vector<TensorInfo> tensors;
  WorkloadLayout layout;
  HostReference::Structure structure;
  std::uint64_t timed_sets = 0;
  std::vector<const ValueCase*> cases;  // of each set
};

struct LaneJob;
// Room for the largest of its plans' workspaces.
std::uint64_t workspace_bytes(const LaneJob& job);

// What to run: plans into binaries, and how to judge.
struct LaneJob {
  std::vector<std::string> binaries;
  std::vector<PlanToLoad> plans;  // workload indices of the lane
  const PrecisionClass* precision = nullptr;
  StopRule stop{};
  double give_up_below = -1e9;  // log speed-up that the candidate must be able to reach
  bool timing = true;
  bool watched = false;   // small launches under a tool that checks each access, after all timing
  bool counters = false;  // read the device's own, after all timing
  std::uint64_t order_seed = 1;
};

struct LaneTiming {
  std::uint64_t workload = 0;
  std::vector<float> candidate, baseline;  // microseconds, paired by launch
  PairedResult paired;
};

// Where the wall time of one evaluation went, in seconds.
struct LaneCost {
  double start = 0, workspace = 0, load = 0, capture = 0;
  double candidate_blocks = 0, baseline_blocks = 0, check = 0, verify = 0, total = 0;
  double candidate_kernels = 0, baseline_kernels = 0;  // between events
  double device_span = 0;                              // launches with their flushes, on the device
  double enqueue = 0;
  std::int64_t launches = 0;
};

struct LaneResult {
  Verdict verdict;
  double error = 0;  // worst share of a limit
  std::vector<LaneTiming> timings;
  LaneCost cost;
  std::string resources;
  std::optional<MemoryCheck> memory_check;   // where the job asked for it and it passed
  std::optional<HardwareCounters> counters;  // where the job asked for them and it passed
};

// How far reference.cu is from reference.cpp, as a share of a precision class's limits.
struct ReferenceAgreement {
  std::int64_t workloads = 0, left_out = 0;  // too large for the host
  std::int64_t compared = 0;                 // outputs, over all cases of values
  double worst = 0;
  std::string where;  // of the worst
  double seconds = 0;
};
Json to_json(const ReferenceAgreement& agreement);
// What the host may spend on it.
struct ReferenceEffort {
  double flops = 0.5e9;  // of one workload and case, in fp64
  double seconds = 4;    // all together; nothing is begun later
};

// Used by one thread. Errors: the device, the judge or our own code; a failing candidate is a
// LaneResult.
class CudaLane {
 public:
  // Structure, layouts, references, judge. `op` and `suite` outlive the lane.
  static Result<std::unique_ptr<CudaLane>> open(const Op& op,
                                                const Suite& suite,
                                                LaneOptions options);

  const std::vector<LaneWorkload>& workloads() const { return workloads_; }
  std::optional<std::uint64_t> find(std::string_view name) const;
  std::map<std::string, ValueMap> host_scalars() const;
  JudgeClient& judge() { return *judge_; }
  const std::string& isolation() const { return isolation_; }

  // Draws all sets and computes what is expected, unless that was done for this seed. Seconds.
  struct DrawCost {
    double draw = 0, expect = 0, adjust = 0;
  };
  Result<DrawCost> draw(std::uint64_t seed);

  // A candidate wrote over the inputs: they must be drawn again before the next one.
  bool pool_spoilt() const { return !drawn_.has_value(); }

  // The opponent: verified like a candidate, then kept in a process of its own.
  Result<LaneResult> freeze(const LaneJob& baseline);
  // The same for a library behind Python; the lane fills in device and workloads. Only the outputs
  // that it names are judged, on the timed sets, with kOpponentSlack times the tolerance (its
  // square for single elements): an opponent that is a little less exact is still one.
  // ErrorCode::missing: not to be had here.
  Result<LaneResult> freeze_opponent(OpponentSetup setup, const PrecisionClass* precision);
  const Json& opponent_details() const { return opponent_details_; }
  Result<LaneResult> evaluate(const LaneJob& job);
  bool has_baseline() const { return baseline_ != nullptr; }
  // What is expected on the device against fp64 on the host, on the workloads small enough for
  // that.
  Result<ReferenceAgreement> compare_references(const PrecisionClass& precision,
                                                ReferenceEffort effort);
  // Known-answer kernel in the judge and a fresh process: is the device still sound?
  Result<bool> device_is_sound();

 private:
  CudaLane(const Op& op, const Suite& suite, LaneOptions options)
      : op_(op), suite_(suite), options_(std::move(options)) {}

  Result<void> add_workloads();
  Result<JudgeSetup> judge_setup();
  Result<std::string> compile(const std::string& source,
                              const std::string& name,
                              const std::map<std::string, std::string, std::less<>>& defines);
  Result<void> draw_set(std::uint64_t workload,
                        std::uint64_t set,
                        std::uint64_t seed,
                        DrawCost& cost);
  Result<void> adjust_set(std::uint64_t workload, std::uint64_t set, std::uint64_t seed);

  Result<CandidateClient> new_candidate();
  Result<void> ready(std::optional<CandidateClient>& process, const LaneJob& job, LaneResult& out);
  Result<void> poison_workspace(const LaneJob& job);
  struct Block {
    bool candidate = true;
    std::vector<RunItem> items;
    RunOptions options;
  };
  // One block and its check; false when the verdict is in.
  Result<bool> run_block(BlockRunner& process,
                         const LaneJob& job,
                         std::uint64_t workload,
                         const Block& block,
                         std::vector<float>& times,
                         LaneResult& out);
  Result<bool> check_block(const LaneJob& job,
                           std::uint64_t workload,
                           const Block& block,
                           LaneResult& out);
  Result<bool> time_workload(const LaneJob& job, std::uint64_t workload, LaneResult& out);
  Result<bool> verify_state(const LaneJob& job, std::uint64_t workload, LaneResult& out);
  Result<void> look_for_spoilt_inputs(const LaneJob& job, std::uint64_t workload, LaneResult& out);
  Result<LaneResult> finish(LaneResult out, bool passed);
  std::uint64_t flush_bytes() const;
  Result<void> compare_references(std::uint64_t workload,
                                  std::uint64_t set,
                                  const PrecisionClass& precision,
                                  ReferenceAgreement& out);
  // lane_sanitize.cpp
  std::vector<const PlanToLoad*> watched_plans(const LaneJob& job) const;
  Result<LaunchOnce> alone(const LaneJob& job, const PlanToLoad& plan);
  Result<MemoryCheck> watch(const LaneJob& job);
  void check_memory(const LaneJob& job, LaneResult& out);
  // lane_profile.cpp
  HardwareCounters count(const LaneJob& job);
  Result<void> count_all(const LaneJob& job, HardwareCounters& counters);
  Result<CandidateClient> profiled_candidate(const LaneJob& job, HardwareCounters& counters);
  Result<CandidateClient> profiled_candidate(const LaneJob& job,
                                             const CandidateSetup& setup,
                                             HardwareCounters& counters);
  Result<void> check_profiled(const LaneJob& job, std::uint64_t workload, RunItem item);
  std::vector<RunItem> order(std::uint64_t workload, std::uint64_t salt, bool timed_only) const;

  const Op& op_;
  const Suite& suite_;
  LaneOptions options_;
  std::unique_ptr<HostReference> host_;
  std::unique_ptr<NvrtcToolchain> toolchain_;
  std::vector<LaneWorkload> workloads_;
  std::optional<JudgeClient> judge_;
  std::vector<SharedRegions> regions_;
  std::optional<CandidateClient> candidate_;
  std::unique_ptr<BlockRunner> baseline_;
  std::vector<std::string> opponent_outputs_;  // empty: the baseline is a kernel like others
  Json opponent_details_;
  CandidateSetup candidate_setup_;
  std::string trusted_cubin_;  // the judge's kernels
  std::map<std::uint64_t, double> baseline_us_;
  std::optional<std::uint64_t> drawn_;
  std::uint64_t workspace_slot_ = 0;
  std::string isolation_ = "unknown";
};

}  // namespace coppice::evaluators::cuda
