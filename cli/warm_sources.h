// Where a warm start comes from: recorded tables and earlier runs, as data for the engine.
#pragma once

#include "archive/run_store.h"
#include "cli/run_reader.h"
#include "core/json.h"
#include "evaluators/recorded_table.h"
#include "planner/warm_source.h"

#include <string>
#include <vector>

namespace coppice::cli {

planner::WarmSource warm_source_of(const evaluators::RecordedTable& table);
// All answered attempts at search fidelity; those that failed through no fault of the candidate
// are left out. Errors: none of them was valid.
Result<planner::WarmSource> warm_source_of(const RunReader& run);

// A recorded table: a file, synthetic:NAME/INSTANCE, or derived:NAME/INSTANCE:TABLE.
Result<evaluators::RecordedTable> named_table(const std::string& name);

// A table as above, a run's own folder, or, where a store is given, a run of it by name. Errors
// name what was looked for.
Result<planner::WarmSource> named_warm_source(const std::string& name,
                                              const archive::RunStore* store);

// What a run's configuration names, as blobs for its log; "archive" stands for the newest runs of
// the same op that found something, at most eight.
Result<std::vector<Json>> warm_data(const std::vector<std::string>& names,
                                    const std::string& op,
                                    const archive::RunStore* store);

}  // namespace coppice::cli
