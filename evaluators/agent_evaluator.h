// Evaluator over device agents: compiles here, measures there, survives agents that die.
#pragma once

#include "core/target.h"
#include "evaluators/evaluator.h"
#include "evaluators/toolchain.h"

#include <memory>
#include <string>
#include <vector>

namespace coppice::evaluators {

struct AgentConfig {
  std::string backend = "cpu";
  // Put in front of the agent's command line: {} runs it on this machine, {"ssh", "host"} or
  // {"srun", "--gres=gpu:1"} elsewhere.
  std::vector<std::string> launcher;
  std::string program;       // the agent's executable; empty: this program
  std::string cache_folder;  // compiled code and ceilings; empty: nothing is kept
  Op op;
  std::string suite;
  Target target;
  int devices = 1;
  int lane_threads = 0;            // 0: all cores
  std::string isolation = "best";  // least level that is accepted
  // Variables that hold secrets under names that don't say so: no agent, candidate, library or
  // opponent sees them (those whose names do say so never, see child_environment.h).
  std::vector<std::string> hidden_variables;
  // Compiling waits while a device measures: right where both need the same cores.
  bool pause_builds = false;
  bool thorough = false;         // DeviceSession::thorough
  std::vector<Gate> skip_gates;  // only for tests of the judge
};

// True where this machine has two cores or fewer, so that compiling would disturb the timing.
bool builds_disturb_timing();

// Starts the agents and opens the op's session on each. Errors: environment (no compiler, no
// device), config (the op's reference does not build).
Result<std::unique_ptr<Evaluator>> open_agents(AgentConfig config,
                                               std::unique_ptr<Toolchain> toolchain,
                                               std::stop_token stop);

// The usual toolchain of a backend, behind the compile cache: "cpu" the host compiler, "cuda" NVRTC
// for `architecture` ("sm_90"). Compilers don't see the variables `hidden` either.
Result<std::unique_ptr<Toolchain>> open_toolchain(const std::string& backend,
                                                  const std::string& cache_folder,
                                                  const std::string& architecture = "",
                                                  const std::vector<std::string>& hidden = {});

// What `coppice doctor` shows about a backend: starts an agent and asks.
Result<Json> probe_backend(const std::string& backend,
                           const std::vector<std::string>& launcher,
                           const std::string& program);

}  // namespace coppice::evaluators
