// device_evidence: a finalist's hardware counters and memory check in lines for a person.
#pragma once

#include "archive/run_fold.h"

#include <string>

namespace coppice::cli {

// Of the newest attempt of this candidate that has them; empty when none has. Each line begins with
// `indent`.
std::string device_evidence_text(const archive::RunFold& fold,
                                 CandidateId candidate,
                                 const std::string& indent);

// Of one packet.
std::string device_evidence_text(const Evidence& evidence, const std::string& indent);

}  // namespace coppice::cli
