// SimulatedWorld: a recorded table that counts what a strategy asks it.
#pragma once

#include "core/random.h"
#include "core/space_walk.h"
#include "evaluators/recorded_table.h"
#include "planner/warm_source.h"

#include <cstdint>
#include <limits>
#include <map>
#include <vector>

namespace coppice::cli {

// One search's view of a table. Not thread-safe. Asking for a point again is free, as a real
// tuner's cache makes it.
class SimulatedWorld {
 public:
  SimulatedWorld(const evaluators::RecordedTable& table, std::int64_t budget);

  // Milliseconds; infinity: invalid, or outside the table.
  double evaluate(const Genome& genome);
  bool known(const Genome& genome) const;
  // The budget is spent, or every point was tried.
  bool done() const;
  const evaluators::RecordedOutcome* outcome(const Genome& genome) const;
  const std::vector<double>& best() const { return best_; }
  const AxisSpace& space() const { return table_.space().space; }
  const SpaceWalker& walker() const { return walker_; }

  // A point that was not asked for yet; never when done().
  Genome fresh(Rng& rng) const;

 private:
  const evaluators::RecordedTable& table_;
  SpaceWalker walker_;
  std::size_t most_;
  std::map<std::vector<std::uint16_t>, double> seen_;
  std::vector<double> best_;
};

// The reference strategies: each plays until the world is done.
void play_genetic(SimulatedWorld& world, std::uint64_t seed);
void play_annealing(SimulatedWorld& world, std::uint64_t seed);
void play_gp(SimulatedWorld& world, std::uint64_t seed, const TemplateSpace& space);
// No search: the points in the order of their mean log slow-down in the logs, which share axes.
void play_log_order(SimulatedWorld& world,
                    const TemplateSpace& space,
                    std::vector<planner::WarmSource> logs);

}  // namespace coppice::cli
