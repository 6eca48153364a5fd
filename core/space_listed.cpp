// Scans of a listed space.
#include "core/space_listed.h"

#include <utility>

namespace coppice::detail {

std::size_t distance(const Axis& axis, std::size_t a, std::size_t b) {
  const bool ordered = axis.type == AxisType::integer || axis.type == AxisType::ordinal;
  return !ordered ? (a == b ? 0 : 1) : a > b ? a - b : b - a;
}

namespace {

bool permitted(const Choice& choice, const Genome& genome) {
  for (std::size_t axis = 0; axis < genome.levels.size(); ++axis) {
    if (!choice.permits(axis, genome.levels[axis])) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::optional<Genome> pick_listed(const std::vector<Genome>& listed,
                                  const Choice& choice,
                                  Rng& rng) {
  std::vector<const Genome*> open;
  for (const Genome& genome : listed) {
    if (permitted(choice, genome)) {
      open.push_back(&genome);
    }
  }
  return open.empty() ? std::nullopt : std::optional(*open[rng.below(open.size())]);
}

std::optional<Genome> nearest_listed(const AxisSpace& space,
                                     const Genome& from,
                                     const Choice& choice,
                                     Rng& rng) {
  std::pair<std::size_t, std::size_t> nearest(space.size() + 1, 0);
  std::vector<const Genome*> ties;
  for (const Genome& genome : *space.listed()) {
    std::pair<std::size_t, std::size_t> far(0, 0);
    for (std::size_t axis = 0; axis < space.size(); ++axis) {
      far.first += from.levels[axis] != genome.levels[axis] ? 1 : 0;
    }
    if (far.first > nearest.first) {
      continue;
    }
    for (std::size_t axis = 0; axis < space.size(); ++axis) {
      far.second += distance(space.axis(axis), from.levels[axis], genome.levels[axis]);
    }
    if (far > nearest || !permitted(choice, genome)) {
      continue;
    }
    if (far < nearest) {
      ties.clear();
      nearest = far;
    }
    if (far == nearest) {
      ties.push_back(&genome);
    }
  }
  return ties.empty() ? std::nullopt : std::optional(*ties[rng.below(ties.size())]);
}

}  // namespace coppice::detail
