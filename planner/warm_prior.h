// WarmPrior: what the sources of a warm start expect of the points of this run's space.
#pragma once

#include "core/executor.h"
#include "core/search_space.h"
#include "planner/warm_source.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace coppice::planner {

// What one source expects of one point.
struct Hearsay {
  double slow = 0.0;   // log slow-down against the source's best; beyond `ceiling` all are alike
  double fails = 0.0;  // probability
};

// A point that a source measured is looked up; of another one the source's own model, fitted to its
// rows, says what it expects. Templates are matched by name, or with each other where each side has
// one; axes by name, levels by value: an axis that the source does not know says nothing, one
// that only the source has stands at the level of the source's best row. Deterministic. Not
// thread-safe.
class WarmPrior {
 public:
  // `space` and `executor` outlive it. A source that shares no axis that varies is unusable.
  WarmPrior(const SearchSpace& space, std::vector<WarmSource> sources, Executor& executor);
  WarmPrior(WarmPrior&&) noexcept;
  WarmPrior& operator=(WarmPrior&&) noexcept;
  ~WarmPrior();

  std::size_t size() const;
  const std::string& name(std::size_t source) const;
  bool usable(std::size_t source) const;
  double ceiling(std::size_t source) const;  // the largest slow-down that it tells apart
  // By point, then source.
  std::vector<Hearsay> ask(std::span<const Point> points) const;
  // Rows of all sources, evenly by rank, as points of this space.
  std::vector<Point> cross_section(std::size_t limit) const;
  // The sources' best rows as points of this space, the best of each in turn, at most `limit`; not
  // all of them need to be valid here.
  std::vector<Point> favourites(std::size_t limit) const;

 private:
  struct Source;
  const SearchSpace* space_;
  std::vector<std::unique_ptr<Source>> sources_;
};

}  // namespace coppice::planner
