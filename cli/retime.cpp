// Times winners in turn.
#include "cli/retime.h"

#include "core/random.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

namespace coppice::cli {
namespace {

constexpr int kRounds = 3;

struct Winner {
  evaluators::EvaluationTask task;
  evaluators::Built built;
  std::vector<double> log_costs;                         // one a round; shorter when a round failed
  std::vector<std::map<std::string, double>> workloads;  // the same by workload
};

// ln(time / baseline), of the time in milliseconds where there is no baseline.
double log_cost_of(const WorkloadTiming& timing) {
  return timing.baseline_median.count() > 0 ? -std::log(timing.speedup)
                                            : std::log(to_seconds(timing.median) * 1e3);
}

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

// False when the device can't measure any more.
bool time_once(
    Winner& winner, int round, int device, evaluators::Evaluator& evaluator, std::stop_token stop) {
  winner.task.secret_seed = mix64(0x5eedu + static_cast<std::uint64_t>(round));
  const Result<Evidence> evidence = evaluator.measure(winner.task, winner.built, device, stop);
  if (evidence.ok() && evidence->verdict.valid && evidence->performance) {
    winner.log_costs.push_back(evidence->performance->log_cost);
    auto& row = winner.workloads.emplace_back();
    for (const WorkloadTiming& timing : evidence->performance->workloads) {
      row[timing.workload] = log_cost_of(timing);
    }
  }
  return evidence.ok();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// By workload: how much faster `mine` was, the median over the rounds.
std::vector<archive::ComparedWorkload> by_workload(const Winner& mine, const Winner& theirs) {
  std::vector<archive::ComparedWorkload> out;
  for (const auto& [name, ignored] : mine.workloads.front()) {
    std::vector<double> differences;
    for (std::size_t r = 0; r < kRounds; ++r) {
      const auto own = mine.workloads[r].find(name);
      const auto other = theirs.workloads[r].find(name);
      if (own != mine.workloads[r].end() && other != theirs.workloads[r].end()) {
        differences.push_back(other->second - own->second);
      }
    }
    if (differences.size() == kRounds) {
      out.push_back({name, std::exp(median(std::move(differences)))});
    }
  }
  return out;
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
  int device = 0;  // all on one: the first that still measures
  for (int round = 0; mine && round < kRounds && !stop.stop_requested(); ++round) {
    while (!time_once(*mine, round, device, evaluator, stop) && round == 0 &&
           device + 1 < evaluator.devices()) {
      ++device;
    }
    for (auto& winner : theirs) {
      if (winner) {
        time_once(*winner, round, device, evaluator, stop);
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
      against.workloads = by_workload(*mine, *theirs[i]);
    }
    out.push_back(std::move(against));
  }
  return out;
}

}  // namespace coppice::cli
