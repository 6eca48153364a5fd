// torch_build: compiles what a torch package holds, from what the archive knows, and writes it.
#pragma once

#include "cli/run_reader.h"

#include <map>
#include <string>

namespace coppice::cli {

// Needs NVRTC and, for the structure of the workloads, the host's compiler; no device.
Result<std::map<std::string, std::string>> build_torch_package(const RunReader& run,
                                                               const archive::Attempt& attempt);

// What the archive says about an attempt, so that the package can be traced back to it.
Result<Json> torch_certificate(const RunReader& run,
                               const archive::Attempt& attempt,
                               const Candidate& candidate);

}  // namespace coppice::cli
