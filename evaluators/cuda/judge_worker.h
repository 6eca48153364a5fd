// The judge's process: owns inputs, expected outputs, output ring and workspace of every workload,
// and never loads candidate code.
#pragma once

#include "core/plan.h"
#include "evaluators/cuda/layout.h"
#include "evaluators/cuda/trusted_kernels.h"
#include "evaluators/cuda/worker_process.h"

#include <map>
#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

struct JudgeWorkload {
  WorkloadLayout layout;
  std::map<std::string, std::string, std::less<>> structure;  // tensor name to bytes
  ResolvedPlan reference;
  std::string reference_cubin;
};

struct JudgeSetup {
  int device = 0;
  std::string trusted_cubin;
  std::vector<JudgeWorkload> workloads;
};

// Payloads and replies are wire.h records in this order; every reply begins with a WorkerStatus and
// ends with nothing more.
enum class JudgeRequest : std::uint32_t {
  start,      // -> JSON of the facts, seconds to the context
  open,       // u64 workload -> IPC handles of inputs and outputs
  draw,       // u64 workload, set, seed; list<DrawFill> -> seconds
  expect,     // u64 workload, set -> seconds (the reference, by device events)
  read,       // u64 workload, u64 set, text tensor, u8 expected -> bytes
  write,      // u64 workload, u64 set, text tensor, bytes ->
  workspace,  // u64 slot (0 candidate, 1 baseline), u64 bytes -> IPC handle
  arm,        // u64 workload -> (poisons the output ring)
  check,      // u64 workload, list<u32> sets by slot, list<DeviceTolerance> by output ->
              // list<DeviceComparison> (slot-major), u64 damaged words around outputs
  verify,     // u64 workload, u64 slot, list<GuardRange> relative to that workspace ->
              // u64 changed inputs, u64 damaged input guards, u64 damaged workspace guards
  canary,     // -> u64 wrong words
  stream,     // u64 bytes -> double best seconds of a plain cold read
  close,      // u64 workload ->
};

struct DrawFill {
  std::int32_t kind = 0;  // Fill::Kind
  std::int32_t padding = 0;
  double scale = 1.0, offset = 0.0;
};

// First byte of every worker reply.
enum class WorkerStatus : std::uint8_t { ok = 0, failed = 1, sticky = 2 };

WorkerHandler make_judge(const JudgeSetup& setup);

}  // namespace coppice::evaluators::cuda
