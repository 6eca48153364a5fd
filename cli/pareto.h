// The front of speed against error: candidates that no other beats in both.
#pragma once

#include "cli/run_reader.h"

#include <vector>

namespace coppice::cli {

struct ParetoPoint {
  const archive::Attempt* attempt = nullptr;  // in the reader's fold
  double log_cost = 0.0;
  double error = 0.0;  // nRMSE: the share of its class's limit that it used, times that limit
};

// Over all valid attempts at search fidelity, of all precision classes; the fastest first. Ties in
// both: the attempt that came first.
std::vector<ParetoPoint> pareto_front(const RunReader& run);

}  // namespace coppice::cli
