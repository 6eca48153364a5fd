// The report of a run that is made of tasks: one HTML file without scripts.
#pragma once

#include "cli/shared_reader.h"
#include "core/json.h"

#include <string>

namespace coppice::cli {

// shared_answer() and every turn with its reason.
Json shared_report_data(const SharedReader& run);
// Tasks, dispatch table, who had which turn, and the newest turns. Opens without network.
std::string shared_report_page(const SharedReader& run);

}  // namespace coppice::cli
