// Linear probing over a table at most half full.
#include "planner/point_table.h"

#include "core/random.h"

namespace coppice::planner {

std::uint64_t PointTable::hash(const Point& point) {
  constexpr std::uint64_t kPrime = 0x100000001b3ULL;
  std::uint64_t h = 0xcbf29ce484222325ULL ^ point.template_index;
  for (const std::uint16_t level : point.genome.levels) {
    h = (h ^ level) * kPrime;
  }
  return mix64(h);
}

std::uint32_t PointTable::find(const Point& point) const {
  if (table_.empty()) {
    return kNone;
  }
  const std::uint64_t h = hash(point);
  const std::size_t mask = table_.size() - 1;
  for (std::size_t at = h & mask;; at = (at + 1) & mask) {
    const std::uint32_t slot = table_[at];
    if (slot == kNone || (hashes_[slot] == h && points_[slot] == point)) {
      return slot;
    }
  }
}

std::uint32_t PointTable::add(const Point& point) {
  if (const std::uint32_t known = find(point); known != kNone) {
    return known;
  }
  if (2 * (points_.size() + 1) > table_.size()) {
    grow();
  }
  const auto slot = static_cast<std::uint32_t>(points_.size());
  points_.push_back(point);
  hashes_.push_back(hash(point));
  const std::size_t mask = table_.size() - 1;
  std::size_t at = hashes_.back() & mask;
  while (table_[at] != kNone) {
    at = (at + 1) & mask;
  }
  table_[at] = slot;
  return slot;
}

void PointTable::grow() {
  constexpr std::size_t kFirst = 1024;
  table_.assign(table_.empty() ? kFirst : 2 * table_.size(), kNone);
  const std::size_t mask = table_.size() - 1;
  for (std::size_t slot = 0; slot < hashes_.size(); ++slot) {
    std::size_t at = hashes_[slot] & mask;
    while (table_[at] != kNone) {
      at = (at + 1) & mask;
    }
    table_[at] = static_cast<std::uint32_t>(slot);
  }
}

void PointTable::clear() {
  *this = PointTable();  // with its memory
}

}  // namespace coppice::planner
