// The program's hidden subcommands: the helper processes of evaluation, all the same executable.
#pragma once

#include "core/result.h"

#include <optional>
#include <string>

namespace coppice::evaluators {

// cli/main.cpp calls this first. Returns the exit status when argv[1] names a helper process
// ("agent --backend cpu", "judge", "candidate", "baseline", "launch-once FILE"), nothing otherwise.
std::optional<int> dispatch_internal(int argc, char** argv);

// This program's own file, for starting helpers.
Result<std::string> own_executable();

}  // namespace coppice::evaluators
