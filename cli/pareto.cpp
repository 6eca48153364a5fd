// Keeps what is not beaten in both time and error.
#include "cli/pareto.h"

#include <algorithm>
#include <limits>

namespace coppice::cli {

std::vector<ParetoPoint> pareto_front(const RunReader& run) {
  std::vector<ParetoPoint> all;
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    const auto cost = attempt.log_cost();
    if (!cost || attempt.proposal.fidelity != Fidelity::search) {
      continue;
    }
    const PrecisionClass* judged = run.material().op.precision_class(attempt.evidence->precision);
    const double limit = judged == nullptr ? 1.0 : judged->tolerance.nrmse;
    all.push_back({&attempt, *cost, attempt.evidence->error * limit});
  }
  std::ranges::stable_sort(all, [](const ParetoPoint& a, const ParetoPoint& b) {
    return a.log_cost != b.log_cost ? a.log_cost < b.log_cost : a.error < b.error;
  });
  std::vector<ParetoPoint> front;
  double least = std::numeric_limits<double>::infinity();
  for (const ParetoPoint& point : all) {
    if (point.error < least) {
      least = point.error;
      front.push_back(point);
    }
  }
  return front;
}

}  // namespace coppice::cli
