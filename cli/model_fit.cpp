// Compares predictions with what was measured afterwards.
#include "cli/model_fit.h"

#include "cli/words.h"
#include "planner/warm_trust.h"
#include "search/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace coppice::cli {
namespace {

// Halves of the central intervals of a normal distribution.
constexpr double kHalf50 = 0.6744897501960817;
constexpr double kHalf80 = 1.2815515655446004;
constexpr double kHalf95 = 1.959963984540054;

struct Heard {
  std::vector<double> said, predicted, measured;  // where both spoke
  std::vector<double> all_said, all_measured;
  void take(const Proposed& proposal, double cost) {
    if (!proposal.opinion) {
      return;
    }
    all_said.push_back(*proposal.opinion);
    all_measured.push_back(cost);
    if (proposal.prediction && proposal.prediction->spread > 0.0) {
      said.push_back(*proposal.opinion);
      predicted.push_back(proposal.prediction->log_cost);
      measured.push_back(cost);
    }
  }
};

double mean_distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += std::fabs(a[i] - b[i]);
  }
  return a.empty() ? 0.0 : sum / static_cast<double>(a.size());
}

ModelFit::Opinions opinions_of(const Heard& heard) {
  ModelFit::Opinions out;
  out.results = static_cast<std::int64_t>(heard.said.size());
  out.error = mean_distance(heard.said, heard.measured);
  out.model_error = mean_distance(heard.predicted, heard.measured);
  out.trust = search::advice_trust(heard.all_said, heard.all_measured);
  if (heard.said.size() >= 2) {
    out.rank_correlation = planner::rank_correlation(heard.said, heard.measured);
    out.model_rank_correlation = planner::rank_correlation(heard.predicted, heard.measured);
  }
  return out;
}

}  // namespace

void Coverage::take(double log_cost, const Prediction& prediction) {
  const double distance = std::fabs(log_cost - prediction.log_cost) / prediction.spread;
  ++predictions;
  within_50 += distance <= kHalf50 ? 1 : 0;
  within_80 += distance <= kHalf80 ? 1 : 0;
  within_95 += distance <= kHalf95 ? 1 : 0;
}

double Coverage::share(std::int64_t within) const {
  return predictions > 0 ? static_cast<double>(within) / static_cast<double>(predictions) : 0.0;
}

ModelFit model_fit(const archive::RunFold& fold) {
  ModelFit fit;
  std::vector<double> predicted, measured;
  Heard heard;
  std::map<std::string, MutatorFit> mutators;
  std::map<std::string, double, std::less<>> best;
  std::int64_t answered = 0;
  for (const archive::Attempt& attempt : fold.attempts()) {
    if (attempt.proposal.fidelity != Fidelity::search || !attempt.evidence) {
      continue;
    }
    ++answered;
    const auto& prediction = attempt.proposal.prediction;
    const std::optional<double> cost = attempt.log_cost();
    MutatorFit& mutator = mutators[attempt.proposal.mutator];
    ++mutator.attempts;
    mutator.valid += cost ? 1 : 0;
    mutator.promised += prediction ? prediction->gain : 0.0;
    if (cost) {
      const auto [known, first] = best.try_emplace(attempt.evidence->precision, *cost);
      if (!first && *cost < known->second) {
        mutator.gained += known->second - *cost;
        known->second = *cost;
      }
    }
    if (cost) {
      heard.take(attempt.proposal, *cost);
    }
    if (!cost || !prediction || !(prediction->spread > 0.0)) {
      continue;
    }
    predicted.push_back(prediction->log_cost);
    measured.push_back(*cost);
    fit.all.take(*cost, *prediction);
    if (answered > kSettled) {
      fit.late.take(*cost, *prediction);
    }
  }
  if (predicted.size() >= 2) {
    fit.rank_correlation = planner::rank_correlation(predicted, measured);
  }
  fit.opinions = opinions_of(heard);
  for (auto& [name, mutator] : mutators) {
    mutator.name = name;
    fit.mutators.push_back(mutator);
  }
  std::stable_sort(fit.mutators.begin(), fit.mutators.end(), [](const auto& a, const auto& b) {
    return a.gained > b.gained;
  });
  return fit;
}

Json to_json(const Coverage& coverage) {
  return Json::object()
      .set("predictions", coverage.predictions)
      .set("inside_50", coverage.share(coverage.within_50))
      .set("inside_80", coverage.share(coverage.within_80))
      .set("inside_95", coverage.share(coverage.within_95));
}

Json to_json(const ModelFit& fit) {
  return Json::object()
      .set("rank_correlation", fit.rank_correlation)
      .set("all", to_json(fit.all))
      .set("after_50", to_json(fit.late))
      .set("advice",
           Json::object()
               .set("results", fit.opinions.results)
               .set("rank_correlation", fit.opinions.rank_correlation)
               .set("model_rank_correlation", fit.opinions.model_rank_correlation)
               .set("error", fit.opinions.error)
               .set("model_error", fit.opinions.model_error)
               .set("trust", fit.opinions.trust))
      .set("mutators", Json::array_of(fit.mutators, [](const MutatorFit& one) {
             return Json::object()
                 .set("name", one.name)
                 .set("attempts", one.attempts)
                 .set("valid", one.valid)
                 .set("promised", one.promised)
                 .set("gained", one.gained);
           }));
}

std::string text_of(const ModelFit& fit) {
  const auto row = [](const char* name, const Coverage& coverage) {
    const auto percent = [&](std::int64_t within) {
      return coverage.predictions > 0 ? fmt::format("{:.0f} %", 100.0 * coverage.share(within))
                                      : std::string("-");
    };
    return std::vector<std::string>{name,
                                    std::to_string(coverage.predictions),
                                    percent(coverage.within_50),
                                    percent(coverage.within_80),
                                    percent(coverage.within_95)};
  };
  Table coverage({"results inside the predicted interval", "predictions", "50 %", "80 %", "95 %"});
  coverage.add(row("all", fit.all));
  coverage.add(row("after 50 attempts", fit.late));
  Table mutators({"mutator", "attempts", "valid", "promised", "gained"});
  for (const MutatorFit& one : fit.mutators) {
    mutators.add({one.name,
                  std::to_string(one.attempts),
                  std::to_string(one.valid),
                  fmt::format("{:.3f}", one.promised),
                  fmt::format("{:.3f}", one.gained)});
  }
  std::string both;
  if (fit.opinions.results > 0) {
    const ModelFit::Opinions& o = fit.opinions;
    Table heard({"before the measurement", "results", "rank correlation", "mean error"});
    heard.add({"the language model's advice",
               std::to_string(o.results),
               fmt::format("{:.2f}", o.rank_correlation),
               fmt::format("{:.3f}", o.error)});
    heard.add({"the statistical model, on the same",
               std::to_string(o.results),
               fmt::format("{:.2f}", o.model_rank_correlation),
               fmt::format("{:.3f}", o.model_error)});
    both = heard.text() + fmt::format("the advice is trusted to {:.2f}\n", o.trust);
  }
  return coverage.text() +
         fmt::format("rank correlation of predictions with results: {:.2f}\n",
                     fit.rank_correlation) +
         both + mutators.text() +
         "promised: summed expected improvements, as logged before each measurement; gained: what "
         "the best improved by (log cost)\n";
}

}  // namespace coppice::cli
