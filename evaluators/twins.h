// Gate 0: the judge judged. Good twins of an op must pass, bad ones be refused, before any other
// verdict on that op may be believed.
#pragma once

#include "core/op.h"
#include "evaluators/evaluator.h"

#include <string>
#include <vector>

namespace coppice::evaluators {

// A twin as a candidate: its source under the plan and the default genome of its template, or under
// its own plan.
struct TwinCase {
  Twin twin;
  Candidate candidate;
};

struct TwinResult {
  std::string name;
  bool good = false;
  bool judged_rightly = false;
  std::string expected;  // "passes", "refused", "refused at correctness"
  Verdict verdict;
};

// A good twin need only be correct: a time that is noisy or slow is no fault of the gates. Errors:
// the device is lost.
Result<std::vector<TwinResult>> check_twins(Evaluator& evaluator,
                                            const std::vector<TwinCase>& twins,
                                            std::uint64_t secret_seed,
                                            std::stop_token stop);

}  // namespace coppice::evaluators
