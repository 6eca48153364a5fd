// What only the op knows of a candidate; whoever has the op at hand (cli) fills this in.
#pragma once

#include "core/candidate.h"
#include "core/result.h"

#include <functional>

namespace coppice::archive {

// Either may be empty: exports then speak of level numbers, and git commits hold no source unless
// the candidate's text is in the log. An Error is a candidate that can't be written down; the
// exports go on without its text.
struct CandidateSource {
  // Axis name to level; cheap.
  std::function<Result<ValueMap>(const CandidateSpec&)> axis_values;
  // The whole candidate, source and plan.
  std::function<Result<Candidate>(CandidateId, const CandidateSpec&)> candidate;
};

}  // namespace coppice::archive
