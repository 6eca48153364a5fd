// Picks among listed genomes, and what "near" means between levels. Private to SpaceWalker.
#pragma once

#include "core/axis.h"
#include "core/random.h"

#include <optional>
#include <span>
#include <vector>

namespace coppice::detail {

// Steps between two levels of an axis; without order all others are one step away.
std::size_t distance(const Axis& axis, std::size_t a, std::size_t b);

// Levels that each axis may take: all, or the pinned one.
struct Choice {
  const Genome* genome = nullptr;
  std::vector<bool> pinned;

  Choice(std::size_t size, const Genome* from, std::span<const std::size_t> axes)
      : genome(from), pinned(size, false) {
    for (const std::size_t axis : axes) {
      pinned[axis] = true;
    }
  }
  bool permits(std::size_t axis, std::size_t level) const {
    return !pinned[axis] || genome->levels[axis] == level;
  }
};

// One of the permitted genomes, each as likely as any other.
std::optional<Genome> pick_listed(const std::vector<Genome>& listed,
                                  const Choice& choice,
                                  Rng& rng);

// The permitted genome with fewest changed axes, then smallest steps; ties by `rng`.
std::optional<Genome> nearest_listed(const AxisSpace& space,
                                     const Genome& from,
                                     const Choice& choice,
                                     Rng& rng);

}  // namespace coppice::detail
