// Frontier: which axis levels and pairs of levels were tried, how they did, and what is still
// untried.
#pragma once

#include "core/search_space.h"
#include "core/space_walk.h"
#include "planner/world_model.h"

#include <memory>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace coppice::planner {

enum class LevelState {
  untried,
  tried,
  infeasible,
  dead,  // tried often, and never valid or never close to the best
};
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
  friend bool operator==(const LevelRecord&, const LevelRecord&) = default;
};

// A fold over observations; rebuilt from the log it is identical. Not thread-safe.
class Frontier {
 public:
  explicit Frontier(const SearchSpace& space);  // keeps the reference
  // Infrastructure failures and duplicates are nobody's fault: they count for nothing. A level that
  // was tried is never reported untried again.
  void observe(const Observation& observation);
  // Levels that no valid point of the space can have are infeasible; found by constraint search,
  // bounded: what can't be decided in bounded time counts as feasible.
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
  std::size_t pairs_tried(std::uint32_t template_index) const;
  // Expected gains: of the best point with that level that lies near the template's best point so
  // far, its default, or a few random ones.
  void refresh(const WorldModel& model, double best);

 private:
  struct TemplateFrontier {
    std::vector<std::vector<LevelRecord>> records;  // by axis, level
    std::vector<std::uint32_t> first_id;            // of each axis's levels, counted through
    std::unordered_set<std::uint64_t> pairs;        // two level ids; asked only
    std::optional<Genome> best;
    double best_log_cost = 0.0;
    std::unique_ptr<SpaceWalker> walker;
    std::vector<Genome> random;  // a few fixed points, drawn once
  };

  LevelState judge(const LevelRecord& record) const;
  void rejudge();
  std::vector<Genome> near(const TemplateFrontier& one, std::size_t axis, std::size_t level) const;

  const SearchSpace* space_;
  std::vector<TemplateFrontier> templates_;
  std::optional<double> best_log_cost_;  // over all templates
};

}  // namespace coppice::planner
