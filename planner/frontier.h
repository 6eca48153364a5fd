// Frontier: which axis levels and pairs of levels were tried, how they did, and what is still
// untried.
#pragma once

#include "core/search_space.h"
#include "planner/world_model.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coppice::planner {

enum class LevelState {
  untried,
  tried,
  infeasible,
  dead
};  // dead: tried often, never valid or never close
std::string_view to_text(LevelState state);

struct LevelRecord {
  std::uint32_t template_index = 0;
  std::size_t axis = 0;
  std::size_t level = 0;
  LevelState state = LevelState::untried;
  std::int64_t attempts = 0;
  std::int64_t valid = 0;
  std::optional<double> best_log_cost;
  double expected_gain = 0.0;  // set by refresh()
};

// A fold over observations; rebuilt from the log it is identical. Not thread-safe.
class Frontier {
 public:
  explicit Frontier(const SearchSpace& space);  // keeps the reference
  void observe(const Observation& observation);
  // Levels that no valid point of the space can have are infeasible; found by constraint search,
  // bounded.
  void mark_infeasible();
  const LevelRecord& level(std::uint32_t template_index, std::size_t axis, std::size_t level) const;
  std::vector<LevelRecord> levels() const;  // by template, axis, level
  // Untried levels, most promising first, ties by position.
  std::vector<LevelRecord> untried() const;
  bool pair_tried(std::uint32_t template_index,
                  std::size_t axis_a,
                  std::size_t level_a,
                  std::size_t axis_b,
                  std::size_t level_b) const;
  void refresh(const WorldModel& model, double best);  // expected gains

 private:
  const SearchSpace* space_;
  std::vector<std::vector<std::vector<LevelRecord>>> records_;
  std::map<std::vector<std::uint32_t>, std::int64_t> pairs_;
};

}  // namespace coppice::planner
