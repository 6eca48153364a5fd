// Memory: dead ends that earlier runs proved, and how sure they are.
#pragma once

#include "core/ids.h"
#include "core/search_space.h"
#include "planner/warm_source.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coppice::search {

enum class Maturity {
  tentative,    // one log shows it
  confirmed,    // two do
  established,  // three or more
};
std::string_view to_text(Maturity maturity);

// A level of an axis that was tried often in earlier runs and was never valid there.
struct DeadEnd {
  std::uint32_t template_index = 0;
  std::size_t axis = 0;
  std::uint16_t level = 0;
  // Other axes that had one level in all those attempts: the fact says nothing without them.
  std::vector<std::pair<std::size_t, std::uint16_t>> prerequisites;
  Maturity maturity = Maturity::tentative;
  std::int64_t attempts = 0;
  std::string evidence;  // the logs that show it, with their counts
  NodeId node;           // where the tree tells of it; 0: nowhere
};

// A fold over the warm-start data. Facts that are confirmed or better keep points out of the
// search until a valid attempt contradicts them; tentative ones are only known. A template's
// default is never kept out.
class Memory {
 public:
  Memory() = default;
  Memory(const SearchSpace& space, const std::vector<planner::WarmSource>& sources);

  bool avoids(std::uint32_t template_index, const Genome& genome) const;
  // The facts that this valid point contradicts; they are forgotten.
  std::vector<DeadEnd> contradicted(std::uint32_t template_index, const Genome& genome);
  const std::vector<DeadEnd>& facts() const { return facts_; }  // the surest first
  void told(std::size_t fact, NodeId node) { facts_[fact].node = node; }

 private:
  void gather(const SearchSpace& space,
              std::uint32_t t,
              const std::vector<planner::WarmSource>& sources);
  std::vector<DeadEnd> facts_;
  std::vector<Genome> defaults_;  // by template
};

}  // namespace coppice::search
