// host_target: what this machine's CPU is, as a Target.
#pragma once

#include "cli/places.h"
#include "core/target.h"

#include <string>

namespace coppice::cli {

// The CPU of this machine: name x86_64 or aarch64, the facts and features of docs/op-format.md, and
// the rules and peaks of configs/targets/<name>.json where there is one.
Result<Target> host_target(const Places& places);

// `name`: "host" or a table in configs/targets.
Result<Target> find_target(const std::string& name,
                           const std::string& backend,
                           const Places& places);

// The model name that the system gives ("AMD EPYC 7B13"), or the architecture.
std::string cpu_model();

}  // namespace coppice::cli
