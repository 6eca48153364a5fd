// Writes recorded tables in other people's formats.
#pragma once

#include "core/json.h"
#include "evaluators/recorded_table.h"

namespace coppice::evaluators {

// T4 results. Of each time the table knows the mean, which is the one run that is written.
Json t4_json(const RecordedTable& table);
// A Kernel Tuner cache file (the newer form: failures in "__error__"), whole and closed.
Json kernel_tuner_json(const RecordedTable& table);

}  // namespace coppice::evaluators
