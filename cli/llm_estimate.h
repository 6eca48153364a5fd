// dry_run: what a run would search, and the most that its language models may cost.
#pragma once

#include "cli/run_material.h"
#include "core/json.h"

#include <string>

namespace coppice::cli {

// Asks nobody and measures nothing. Prompt tokens are estimated on the first template's default.
Result<Json> dry_run(const RunMaterial& material);
std::string dry_run_text(const Json& plan);

}  // namespace coppice::cli
