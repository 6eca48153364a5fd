// Reads suites/<suite>.json: the workloads that are searched together.
#pragma once

#include "core/op.h"
#include "experiments/findings.h"

#include <string>

namespace coppice::experiments {

// Appends a suite to `op`, whose contract has been read. Each workload must bind every dim, satisfy
// the constraints and give tensors of a possible size.
void read_suite(const JsonReader& json, const std::string& name, Op& op, Findings& findings);

}  // namespace coppice::experiments
