// A disposable process that runs one candidate's kernels by our host code: loads cubins, captures
// plans as graphs, times their replay. A kernel that misbehaves costs this process and no other.
#pragma once

#include "evaluators/cuda/layout.h"
#include "evaluators/cuda/worker_process.h"

#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

struct CandidateSetup {
  int device = 0;
  std::vector<WorkloadLayout> workloads;  // the judge's
  bool tighten = true;                    // no files, sockets, processes after the first load
  bool namespaces = true;                 // with tighten: user, network and ipc from the start
};

// Payloads as in judge_worker.h; every reply begins with a WorkerStatus.
enum class CandidateRequest : std::uint32_t {
  start,      // -> JSON of the facts, seconds to the context
  attach,     // u64 workload, IpcHandle inputs, IpcHandle outputs -> seconds
  workspace,  // IpcHandle -> (opens the judge's workspace, closing the former)
  load,       // list of binaries (u64 count, texts); u64 plans x (u64 workload, text plan JSON,
              // u64 binary) -> seconds, text JSON of the kernels' resources
  run,        // u64 workload, RunOptions, list<RunItem> -> RunReply, list<float> microseconds
  unload,     // ->
  tighten,    // -> text level
  profiler,   // text the judge's cubin -> text what reads the counters
  count,      // u64 workload, RunItem -> text JSON of its WorkloadCounters
};

struct RunItem {
  std::uint32_t slot = 0, set = 0;
};

struct RunOptions {
  std::uint64_t flush_bytes = 0;  // memset before each launch; 0: warm
  std::uint32_t warm_up = 0;      // launches before the first timed one, on the first item
  std::uint32_t plain = 0;        // 1: launches instead of graph replay
  std::uint32_t poison = 1;       // workspace before each launch
  std::uint32_t empty = 0;        // 1: event pairs around nothing (their own cost)
};

struct RunReply {
  double wall_seconds = 0, enqueue_seconds = 0, capture_seconds = 0;
  double span_seconds = 0;  // on the device, first event to last
  std::int32_t status = 0;  // driver status after the last launch
  std::int32_t sticky = 0;
};

WorkerHandler make_candidate(const CandidateSetup& setup);

}  // namespace coppice::evaluators::cuda
