// Restrictions of a space as look-up tables over beginnings of a genome. Private to SpaceWalker.
#pragma once

#include "core/axis.h"

#include <cstdint>
#include <span>
#include <vector>

namespace coppice::detail {

// One restriction, or one axis's `when`, over the axes it names (ascending).
struct SpaceRule {
  std::vector<std::size_t> axes;
  // allowed[j] has one bit for each choice of levels on axes[0..j]: can the rule still hold?
  // Empty: too many choices for a table; the expression is asked instead.
  std::vector<std::vector<bool>> allowed;
  std::size_t restriction = 0;  // asked when there is no table
  bool is_when = false;
  std::size_t when_axis = 0;
};

class SpaceRules {
 public:
  explicit SpaceRules(const AxisSpace& space);  // keeps the reference

  // Whether all rules can hold, as far as they name axis `known - 1`, when axes [0, known) are set.
  bool allow(const Genome& genome, std::size_t known) const;
  bool valid(const Genome& genome) const;
  // Axes below `depth` that some rule shares with an axis at or above it: all that the rest needs
  // to know about the beginning.
  const std::vector<std::size_t>& interface(std::size_t depth) const { return interface_[depth]; }
  // False: a restriction over constants alone fails, so nothing is valid.
  bool satisfiable() const { return possible_; }

 private:
  struct At {
    std::uint32_t rule = 0;
    std::uint32_t position = 0;  // of the axis inside the rule
  };
  bool possible() const;
  bool holds(const SpaceRule& rule, std::size_t position, const Genome& genome) const;
  bool ask(const SpaceRule& rule, const Genome& genome, std::size_t known) const;
  void tabulate(SpaceRule& rule, std::size_t position, std::size_t index, Genome& genome) const;

  const AxisSpace* space_;
  std::vector<SpaceRule> rules_;
  bool possible_ = true;
  std::vector<std::vector<At>> at_axis_;
  std::vector<std::vector<std::size_t>> interface_;
};

}  // namespace coppice::detail
