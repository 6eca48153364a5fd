// A run of the archive as a recorded table, for other tuners and for simulate.
#pragma once

#include "cli/run_reader.h"
#include "evaluators/recorded_table.h"

#include <string>

namespace coppice::cli {

// The points of one template that the run tried, with what came of them; `template_name` empty: the
// template of the best. Milliseconds are the geometric mean over workloads. Errors: no such
// template, no valid attempt in it.
Result<evaluators::RecordedTable> run_table(const RunReader& run, std::string template_name);

}  // namespace coppice::cli
