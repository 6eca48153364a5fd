// What a candidate's commit says: the verdict in its first line, where it came from below.
#pragma once

#include "core/event.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace coppice::archive {

// `seq`: of the proposal. `evidence` may be absent; `label` describes the candidate for people.
std::string candidate_message(const Proposed& proposal,
                              std::uint64_t seq,
                              const Evidence* evidence,
                              std::string_view label);

}  // namespace coppice::archive
