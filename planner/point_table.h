// PointTable: numbers points in the order of their first appearance, and finds them again fast.
#pragma once

#include "core/search_space.h"

#include <cstdint>
#include <vector>

namespace coppice::planner {

// Open addressing; looked up only, never walked in hash order.
class PointTable {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;

  std::size_t size() const { return points_.size(); }
  const Point& point(std::size_t slot) const { return points_[slot]; }
  std::uint32_t find(const Point& point) const;
  std::uint32_t add(const Point& point);  // its slot, new or old
  void clear();

 private:
  static std::uint64_t hash(const Point& point);
  void grow();

  std::vector<Point> points_;
  std::vector<std::uint64_t> hashes_;  // of each slot
  std::vector<std::uint32_t> table_;   // power of two entries
};

}  // namespace coppice::planner
