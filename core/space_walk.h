// Walking an AxisSpace without enumerating its raw product: sampling, neighbours, repair,
// enumeration.
#pragma once

#include "core/axis.h"
#include "core/random.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace coppice {

// Valid, canonical genomes only. All functions are deterministic in their arguments.

// All valid genomes in lexicographic order, by depth-first search with early pruning; nothing when
// there would be more than `limit`.
std::optional<std::vector<Genome>> enumerate(const AxisSpace& space, std::size_t limit);

// A random valid genome: uniform over the enumerated space when it is small, else by randomised
// depth-first search with restarts (near-uniform). Nothing when `tries` restarts find none.
std::optional<Genome> sample(const AxisSpace& space, Rng& rng, int tries = 100);

// Valid genomes that differ in exactly one axis (after canonicalisation: at least one), by axis,
// then level. `adjacent_only`: ordered axes move by one level; categorical ones to any.
std::vector<Genome> neighbours(const AxisSpace& space, const Genome& genome, bool adjacent_only);

// The nearest valid genome (fewest changed axes, then smallest steps) that keeps the `pinned` axes.
std::optional<Genome> repair(const AxisSpace& space,
                             const Genome& genome,
                             const std::vector<std::size_t>& pinned,
                             Rng& rng);

}  // namespace coppice
