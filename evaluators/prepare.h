// From a candidate to work: the sources to compile and a plan with all numbers filled in for each
// workload; what the rules refuse is evidence of gate 3 already here.
#pragma once

#include "core/candidate.h"
#include "core/op.h"
#include "core/op_shapes.h"
#include "core/target.h"
#include "evaluators/device_backend.h"
#include "evaluators/toolchain.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coppice::evaluators {

struct PreparedWorkload {
  std::string workload;
  bool hidden = false;
  ResolvedPlan plan;
  std::size_t job = 0;  // into Prepared::jobs
};

struct Prepared {
  std::optional<Verdict> refused;  // plan_invalid or not_claimed; the rest is empty then
  std::vector<CompileJob> jobs;    // distinct ones
  std::vector<PreparedWorkload> workloads;
};

struct PrepareContext {
  const Op& op;
  const Suite& suite;
  const Target* target = nullptr;                       // its facts and hard rules; may be null
  const std::map<std::string, ValueMap>& host_scalars;  // per workload
  std::vector<std::string> only;  // names of the timed workloads to prepare; empty: all
};

Prepared prepare(const Candidate& candidate, const PrepareContext& context);

// The lines that the program puts in front of a source: plan defines and tensor types
// ("#define T_F32 1"), then a #line directive so that diagnostics count from the candidate's own
// first line.
std::string source_prefix(const std::map<std::string, std::string, std::less<>>& defines,
                          const std::map<std::string, std::string, std::less<>>& types,
                          const std::string& source_name);

// What expressions of a plan may name for one workload.
ValueMap plan_values(const Candidate& candidate,
                     const PrepareContext& context,
                     const Workload& workload);

// Headers that sources of this op may include (name to text), from the op's own files.
std::map<std::string, std::string, std::less<>> op_headers(const Op& op);
std::vector<std::string> op_header_names(const Op& op);

}  // namespace coppice::evaluators
