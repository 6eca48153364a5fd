// The candidate side: a small launcher process that builds the walls once, and the processes that
// it starts, each of which maps one kernel and runs it on request.
#pragma once

#include "core/plan.h"
#include "evaluators/cpu/layout.h"
#include "evaluators/cpu/sandbox.h"
#include "evaluators/wire.h"

namespace coppice::evaluators::cpu {

// What one candidate process is to run. Descriptors travel in this order: control, inputs, outputs,
// workspace, binary.
struct CandidateStart {
  Layout layout;
  WorkspaceLayout workspace;
  ResolvedPlan plan;
  int slots = 1;
  int threads = 1;
};
Json to_json(const CandidateStart& start);
Result<CandidateStart> candidate_start(const JsonReader& json);

// The launcher's main loop on a socket (hidden subcommand "candidate"). Requests are CandidateStart
// messages; each answer has the new process's id. The new process is the *caller's* child: it alone
// may wait for it, stop it and end it.
int run_candidate_launcher(int socket);

}  // namespace coppice::evaluators::cpu
