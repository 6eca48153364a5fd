// Measures claims again and compares intervals.
#include "cli/measure_claims.h"

#include "cli/words.h"

#include <sys/random.h>

#include <algorithm>
#include <limits>
#include <set>

namespace coppice::cli {
namespace {

std::uint64_t fresh_seed() {
  std::uint64_t seed = 0;
  return ::getrandom(&seed, sizeof seed, 0) == static_cast<ssize_t>(sizeof seed) ? seed : 1;
}

// Baseline names are "library:variant:threads=n": the library is what a claim was made against.
std::string library_of(const std::string& baseline) {
  return baseline.substr(0, baseline.find(':'));
}

ClaimResult not_judgeable(ClaimResult result, std::string reason) {
  result.verdict = ClaimVerdict::not_judgeable;
  result.reason = std::move(reason);
  return result;
}

ClaimResult judge(ClaimResult result, const Evidence& now) {
  if (!now.verdict.valid) {
    if (now.verdict.failure == FailureClass::infrastructure ||
        now.verdict.failure == FailureClass::noisy) {
      return not_judgeable(std::move(result), now.verdict.message);
    }
    result.verdict = ClaimVerdict::does_not;
    result.reason = "refused at " + std::string(to_text(now.verdict.gate)) + ": " +
                    std::string(to_text(now.verdict.failure)) + ": " + now.verdict.message;
    return result;
  }
  const Performance& performance = *now.performance;
  result.measured = performance.speedup;
  result.measured_low = performance.speedup_low;
  result.measured_high = performance.speedup_high;
  const Performance& then = *result.claim.attempt->evidence->performance;
  if (library_of(then.baseline) != library_of(performance.baseline)) {
    return not_judgeable(
        std::move(result),
        "claimed against " + then.baseline + ", the best baseline here is " + performance.baseline);
  }
  const bool holds = performance.speedup_high >= result.claimed_low;
  result.verdict = holds ? ClaimVerdict::holds : ClaimVerdict::does_not;
  result.reason = holds ? "" : "slower than the claimed interval";
  return result;
}

Result<ClaimResult> measure_one(const RunReader& run,
                                ClaimResult result,
                                evaluators::Evaluator& evaluator,
                                std::stop_token stop) {
  COPPICE_TRY(Candidate candidate, run.candidate(*result.claim.attempt));
  evaluators::EvaluationTask task;
  task.attempt = result.claim.attempt->proposal.attempt;
  task.candidate = std::move(candidate);
  task.fidelity = Fidelity::promote;
  task.best_log_cost = std::numeric_limits<double>::infinity();
  task.secret_seed = fresh_seed();
  const evaluators::Built built = evaluator.build(task, stop);
  if (built.failed) {
    return judge(std::move(result), *built.failed);
  }
  COPPICE_TRY(const Evidence now, evaluator.measure(task, built, 0, stop));
  return judge(std::move(result), now);
}

}  // namespace

std::string_view to_text(ClaimVerdict verdict) {
  switch (verdict) {
    case ClaimVerdict::holds:
      return "holds";
    case ClaimVerdict::does_not:
      return "does not";
    case ClaimVerdict::not_judgeable:
      return "not judgeable here";
  }
  COPPICE_UNREACHABLE();
}

std::vector<Claim> claims_of(const RunReader& run) {
  std::vector<Claim> claims;
  std::set<std::uint64_t> seen;
  const auto add = [&](const char* what, const archive::Attempt* attempt) {
    if (attempt != nullptr && attempt->speedup() &&
        seen.insert(attempt->proposal.candidate.value).second) {
      claims.push_back({what, attempt});
    }
  };
  for (const Promoted& promoted : run.fold().promoted()) {
    add("promoted", run.fold().attempt_of(promoted.candidate));
  }
  add("best", run.best());
  add("default", run.best_default());
  return claims;
}

Result<std::vector<ClaimResult>> measure_claims(const RunReader& run,
                                                const Target& here,
                                                evaluators::Evaluator& evaluator,
                                                std::stop_token stop) {
  const Target& there = run.material().target;
  std::vector<ClaimResult> results;
  for (const Claim& claim : claims_of(run)) {
    const Performance& then = *claim.attempt->evidence->performance;
    ClaimResult result;
    result.claim = claim;
    result.claimed = then.speedup;
    result.claimed_low = then.speedup_low;
    result.claimed_high = then.speedup_high;
    const bool same = there.name == here.name && there.features == here.features;
    if (!same) {
      results.push_back(not_judgeable(
          std::move(result),
          "claimed on " + there.name + " with other features than this machine's " + here.name));
      continue;
    }
    COPPICE_TRY(ClaimResult judged, measure_one(run, std::move(result), evaluator, stop));
    results.push_back(std::move(judged));
  }
  return results;
}

}  // namespace coppice::cli
