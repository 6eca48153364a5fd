// measure_claims: a run's claims put to the test again, on the machine at hand.
#pragma once

#include "cli/run_reader.h"
#include "evaluators/evaluator.h"

#include <stop_token>
#include <string>
#include <vector>

namespace coppice::cli {

enum class ClaimVerdict { holds, does_not, not_judgeable };
std::string_view to_text(ClaimVerdict verdict);  // "holds", "does not", "not judgeable here"

struct Claim {
  std::string what;  // "promoted", "best", "default"
  const archive::Attempt* attempt = nullptr;
};

// What the run claims: its promoted candidates, its best, and the template default beside it.
std::vector<Claim> claims_of(const RunReader& run);

struct ClaimResult {
  Claim claim;
  ClaimVerdict verdict = ClaimVerdict::not_judgeable;
  std::string reason;
  double claimed = 0.0, claimed_low = 0.0, claimed_high = 0.0;
  std::optional<double> measured;  // speed-up over the baseline of this machine
  double measured_low = 0.0, measured_high = 0.0;
};

// A claim holds when the candidate passes every gate again and the 95 % intervals of then and now
// overlap, or it is faster now. On another target or against another baseline it can't be judged.
// An Error means that nothing can be measured here at all.
Result<std::vector<ClaimResult>> measure_claims(const RunReader& run,
                                                const Target& here,
                                                evaluators::Evaluator& evaluator,
                                                std::stop_token stop);

}  // namespace coppice::cli
