// Compares predictions with what was measured afterwards.
#include "cli/report_data.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coppice::cli {
namespace {

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return values[a] < values[b];
  });
  std::vector<double> out(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t j = i;
    while (j < order.size() && values[order[j]] == values[order[i]]) {
      ++j;
    }
    for (std::size_t k = i; k < j; ++k) {
      out[order[k]] = 0.5 * static_cast<double>(i + j - 1);
    }
    i = j;
  }
  return out;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const double n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n;
  const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double ab = 0.0;
  double aa = 0.0;
  double bb = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0.0 && bb > 0.0 ? ab / std::sqrt(aa * bb) : 0.0;
}

}  // namespace

ModelFit model_fit(const archive::RunFold& fold) {
  std::vector<double> predicted;
  std::vector<double> measured;
  double inside_50 = 0.0;
  double inside_95 = 0.0;
  for (const archive::Attempt& attempt : fold.attempts()) {
    const auto& prediction = attempt.proposal.prediction;
    if (attempt.proposal.fidelity != Fidelity::search || !attempt.log_cost() || !prediction ||
        !(prediction->spread > 0.0)) {
      continue;
    }
    predicted.push_back(prediction->log_cost);
    measured.push_back(*attempt.log_cost());
    const double distance =
        std::fabs(*attempt.log_cost() - prediction->log_cost) / prediction->spread;
    inside_50 += distance <= 0.6744897501960817 ? 1.0 : 0.0;
    inside_95 += distance <= 1.959963984540054 ? 1.0 : 0.0;
  }
  ModelFit fit;
  fit.predictions = predicted.size();
  if (predicted.size() >= 2) {
    const double n = static_cast<double>(predicted.size());
    fit.rank_correlation = correlation(ranks(predicted), ranks(measured));
    fit.inside_50 = inside_50 / n;
    fit.inside_95 = inside_95 / n;
  }
  return fit;
}

}  // namespace coppice::cli
