// Times winners in turn.
#include "cli/retime.h"

#include "core/random.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace coppice::cli {
namespace {

constexpr int kRounds = 3;

struct Winner {
  evaluators::EvaluationTask task;
  evaluators::Built built;
  std::vector<double> log_costs;  // one a round; shorter when a round failed
};

std::optional<Winner> prepare(const RunReader& run,
                              evaluators::Evaluator& evaluator,
                              std::stop_token stop) {
  const archive::Attempt* best = run.best();
  if (best == nullptr) {
    return std::nullopt;
  }
  Result<Candidate> candidate = run.candidate(*best);
  if (!candidate.ok()) {
    return std::nullopt;
  }
  Winner winner;
  winner.task.attempt = best->proposal.attempt;
  winner.task.candidate = std::move(*candidate);
  winner.task.fidelity = Fidelity::finalist;
  winner.task.best_log_cost = std::numeric_limits<double>::infinity();
  winner.built = evaluator.build(winner.task, stop);
  return winner.built.failed ? std::nullopt : std::optional<Winner>(std::move(winner));
}

void time_once(Winner& winner, int round, evaluators::Evaluator& evaluator, std::stop_token stop) {
  winner.task.secret_seed = mix64(0x5eedu + static_cast<std::uint64_t>(round));
  const Result<Evidence> evidence = evaluator.measure(winner.task, winner.built, 0, stop);
  if (evidence.ok() && evidence->verdict.valid && evidence->performance) {
    winner.log_costs.push_back(evidence->performance->log_cost);
  }
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

std::vector<Against> retime_winners(const RunReader& run,
                                    const std::vector<RunReader>& others,
                                    evaluators::Evaluator& evaluator,
                                    std::stop_token stop) {
  std::optional<Winner> mine = prepare(run, evaluator, stop);
  std::vector<std::optional<Winner>> theirs;
  for (const RunReader& other : others) {
    theirs.push_back(prepare(other, evaluator, stop));
  }
  for (int round = 0; mine && round < kRounds && !stop.stop_requested(); ++round) {
    time_once(*mine, round, evaluator, stop);
    for (auto& winner : theirs) {
      if (winner) {
        time_once(*winner, round, evaluator, stop);
      }
    }
  }
  std::vector<Against> out;
  for (std::size_t i = 0; i < others.size(); ++i) {
    Against against = against_by_baseline(run, others[i]);
    const bool whole = mine && theirs[i] && mine->log_costs.size() == kRounds &&
                       theirs[i]->log_costs.size() == kRounds;
    if (whole && against.ratio) {
      std::vector<double> differences;
      for (std::size_t r = 0; r < kRounds; ++r) {
        differences.push_back(theirs[i]->log_costs[r] - mine->log_costs[r]);
      }
      against.ratio = std::exp(median(std::move(differences)));
      against.basis = "paired";
    }
    out.push_back(std::move(against));
  }
  return out;
}

}  // namespace coppice::cli
