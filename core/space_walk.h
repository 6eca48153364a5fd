// Walking an AxisSpace without enumerating its raw product: counting, sampling, neighbours, repair.
#pragma once

#include "core/axis.h"
#include "core/random.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace coppice {

// Everything about a space that makes walks fast, worked out once: which beginnings of a genome
// each restriction still allows, and (where that is affordable) how many valid genomes continue
// each beginning. Deterministic; gives valid, canonical genomes only; thread-safe to read. Memory
// and time of the constructor are bounded (some tens of MB, well under a second).
class SpaceWalker {
 public:
  explicit SpaceWalker(const AxisSpace& space);  // keeps the reference
  SpaceWalker(SpaceWalker&&) noexcept;
  SpaceWalker& operator=(SpaceWalker&&) noexcept;
  ~SpaceWalker();

  const AxisSpace& space() const;
  bool valid(const Genome& genome) const;  // as AxisSpace::valid, faster

  // How many valid genomes there are, exactly; nothing when counting would cost too much.
  std::optional<std::uint64_t> count() const;
  // The n-th valid genome in lexicographic order; only when count() is known and n below it.
  Genome nth(std::uint64_t n) const;
  // All valid genomes in lexicographic order; nothing when there are more than `limit`, or when
  // they can't be found in bounded time.
  std::optional<std::vector<Genome>> enumerate(std::size_t limit) const;

  // A random valid genome: exactly uniform where count() is known, else by weighted random
  // descents (near-uniform). Nothing when `tries` descents find none.
  std::optional<Genome> sample(Rng& rng, int tries = 100) const;
  // The same over the genomes that agree with `genome` on the pinned axes.
  std::optional<Genome> sample_pinned(const Genome& genome,
                                      std::span<const std::size_t> pinned,
                                      Rng& rng,
                                      int tries = 100) const;

  // Whether any valid genome has this level; nothing when that can't be decided in bounded time.
  std::optional<bool> possible(std::size_t axis, std::size_t level) const;

  // Valid genomes that differ in exactly one axis (after canonicalisation: at least one), by axis,
  // then level. `adjacent_only`: ordered axes move by one level; categorical ones to any.
  std::vector<Genome> neighbours(const Genome& genome, bool adjacent_only) const;

  // The nearest valid genome (fewest changed axes, then smallest steps; ties by `rng`) that keeps
  // the pinned axes. When the search for it is too long: a near one, or nothing.
  std::optional<Genome> repair(const Genome& genome,
                               std::span<const std::size_t> pinned,
                               Rng& rng) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The same for one call; whoever calls more than once keeps a SpaceWalker.
std::optional<std::vector<Genome>> enumerate(const AxisSpace& space, std::size_t limit);
std::optional<Genome> sample(const AxisSpace& space, Rng& rng, int tries = 100);
std::vector<Genome> neighbours(const AxisSpace& space, const Genome& genome, bool adjacent_only);
std::optional<Genome> repair(const AxisSpace& space,
                             const Genome& genome,
                             const std::vector<std::size_t>& pinned,
                             Rng& rng);

}  // namespace coppice
