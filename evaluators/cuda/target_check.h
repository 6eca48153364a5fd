// Compares the table of a target with the device that answers.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "core/target.h"

#include <string>
#include <vector>

namespace coppice::evaluators::cuda {

// `device`: the facts that an agent's probe gives. An error where code compiled for the table can't
// run on the device; else one sentence for each number that differs.
Result<std::vector<std::string>> differences(const Target& target, const Json& device);

}  // namespace coppice::evaluators::cuda
