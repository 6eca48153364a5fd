// Mutator: turns an idea (a node of the search tree) and parents into new genomes.
#pragma once

#include "core/axis.h"
#include "core/ids.h"
#include "core/random.h"
#include "core/space_walk.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::mutators {

// An axis whose level the node has fixed.
struct Pin {
  std::size_t axis = 0;
  std::uint16_t level = 0;
  friend bool operator==(const Pin&, const Pin&) = default;
};

// A measured candidate to start from.
struct Parent {
  CandidateId candidate;
  Genome genome;
  double log_cost = 0.0;
};

// A candidate that failed and waits for its repair.
struct Failed {
  CandidateId candidate;
  Genome genome;
  std::string failure;  // class, for the explanation
};

// All that a mutator may look at. It lives for one call.
struct Scene {
  const AxisSpace* space = nullptr;
  const SpaceWalker* walker = nullptr;  // of that space, for repairs; may be missing
  std::vector<Pin> pins;
  std::optional<Parent> incumbent;  // best valid candidate under the node
  std::vector<Parent> elites;       // of the same template, best first, pins not applied
  std::optional<Failed> failed;
  // Valid genomes that differ from the given one in one axis; the caller caches them.
  std::function<const std::vector<Genome>&(const Genome&)> neighbours;
  // A random untried genome under the node; nothing when none is left (or found).
  std::function<std::optional<Genome>(Rng&)> draw;
  // Permitted, under the node's pins, and never proposed before.
  std::function<bool(const Genome&)> is_new;
  std::size_t limit = 64;  // ideas wanted at most
};

struct Idea {
  Genome genome;
  std::vector<CandidateId> parents;
};

// Stateless; deterministic in scene and rng. Every idea satisfies scene.is_new.
class Mutator {
 public:
  virtual ~Mutator() = default;
  virtual std::string_view name() const = 0;
  virtual std::vector<Idea> propose(const Scene& scene, Rng& rng) const = 0;
  // One line for a person about an idea that propose() gave.
  virtual std::string explain(const Scene& scene, const Idea& idea) const = 0;
};

using MutatorTable = std::vector<std::unique_ptr<Mutator>>;

// ---- Helpers that several mutators use ----

// The genome with the pins put in and made canonical, repaired if that breaks a restriction;
// nothing when no valid genome keeps the pins.
std::optional<Genome> with_pins(const Scene& scene, Genome genome, Rng& rng);
bool holds_pins(const std::vector<Pin>& pins, const Genome& genome);
// "tile 32 -> 64, stages 2 -> 3"
std::string difference(const AxisSpace& space, const Genome& from, const Genome& to);
// The parent that an idea came from, by id; nothing when the scene does not know it.
const Genome* genome_of(const Scene& scene, CandidateId candidate);

}  // namespace coppice::mutators
