// Fits the Gaussian process's lengthscales and noise by a small, deterministic search.
#pragma once

#include "planner/gp.h"

#include <cstddef>
#include <span>
#include <vector>

namespace coppice::planner {

struct GpHyper {
  std::vector<double> log_length;  // per group of coordinates
  double log_nugget = -4.0;
};

// What is believed before any data: log-normal lengthscales that make the whole space moderately
// alike, however many groups there are, and little noise.
struct GpPrior {
  double length_mean = 0.0, length_spread = 1.0;  // of the logarithms
  double nugget_mean = -4.6, nugget_spread = 1.5;
  static GpPrior for_groups(std::size_t groups);
  GpHyper centre(std::size_t groups) const;
};

struct GpData {
  std::size_t width = 0;
  std::vector<std::size_t> group;  // of each coordinate
  std::size_t groups = 0;
  std::vector<double> points;   // rows * width
  std::vector<double> targets;  // rows
};

struct GpFit {
  GpHyper hyper;
  double amplitude = 1.0;  // signal variance that suits the targets, given the shape
  double score = 0.0;      // log posterior density, up to a constant
};

// Climbs the marginal likelihood times the prior from `start`, `steps` steps.
GpFit fit_gp(const GpData& data, const GpPrior& prior, const GpHyper& start, int steps);

GpShape shape_of(const GpHyper& hyper, std::span<const std::size_t> group);

}  // namespace coppice::planner
