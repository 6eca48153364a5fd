// What a run that is made of tasks came to, as JSON and as text.
#pragma once

#include "cli/shared_reader.h"
#include "core/json.h"

#include <string>

namespace coppice::cli {

// {"schema":1,"run","seed","attempts","valid","turns","seconds","sessions","archive","stop_reason",
//  "tasks":[{"task","run","op","suite","weight","turns","attempts","valid","share","state",
//  "best"}],"dispatch"}; best as in run_answer(), the dispatch table as dispatch.h says.
Json shared_answer(const SharedReader& run);
std::string shared_summary_text(const SharedReader& run);
// The newest `most` turns with their reasons; 0: all.
std::string turns_text(const SharedReader& run, std::size_t most);

// How a budget would be split at first.
Json first_split(const RunConfig& config, const search::Allocator& allocator);
std::string first_split_text(const RunConfig& config, const search::Allocator& allocator);

}  // namespace coppice::cli
