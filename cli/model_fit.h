// ModelFit: how good the predictions were that stood in the log before their measurements.
#pragma once

#include "archive/run_fold.h"
#include "core/event.h"
#include "core/json.h"

#include <cstdint>
#include <string>
#include <vector>

namespace coppice::cli {

// Results of valid attempts inside the central intervals that were predicted for them.
struct Coverage {
  std::int64_t predictions = 0, within_50 = 0, within_80 = 0, within_95 = 0;
  void take(double log_cost, const Prediction& prediction);
  double share(std::int64_t within) const;
};

struct MutatorFit {
  std::string name;
  std::int64_t attempts = 0, valid = 0;
  double promised = 0.0;  // summed expected gains
  double gained = 0.0;    // by which its attempts improved the best of their class
};

struct ModelFit {
  double rank_correlation = 0.0;  // Spearman's, ties at their mean rank
  Coverage all;
  Coverage late;                     // of attempts after the first kSettled that were answered
  std::vector<MutatorFit> mutators;  // by what they gained
  // Results that a language model's advice had spoken of too: its expectations beside the
  // statistical model's.
  struct Opinions {
    std::int64_t results = 0;
    double rank_correlation = 0.0, model_rank_correlation = 0.0;
    double error = 0.0, model_error = 0.0;  // mean, in log cost
    double trust = 0.0;                     // in the advice, at the end
  };
  Opinions opinions;
};
inline constexpr std::int64_t kSettled = 50;

ModelFit model_fit(const archive::RunFold& fold);
Json to_json(const Coverage& coverage);
Json to_json(const ModelFit& fit);
std::string text_of(const ModelFit& fit);

}  // namespace coppice::cli
