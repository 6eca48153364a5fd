// Builds the tables: each rule is judged once for each choice of levels on its own axes.
#include "core/space_rules.h"

#include <algorithm>

namespace coppice::detail {

namespace {

// Choices of levels per rule that are worth a table, and in all tables together.
constexpr std::size_t kTableLimit = 1U << 18U;
constexpr std::size_t kAllTablesLimit = 1U << 21U;

std::size_t choices(const AxisSpace& space, const std::vector<std::size_t>& axes) {
  std::size_t product = 1;
  for (const std::size_t axis : axes) {
    product *= space.axis(axis).levels.size();
    if (product > kTableLimit) {
      return kTableLimit + 1;
    }
  }
  return product;
}

}  // namespace

SpaceRules::SpaceRules(const AxisSpace& space) : space_(&space) {
  for (std::size_t i = 0; i < space.restrictions().size(); ++i) {
    SpaceRule rule;
    rule.axes = space.axes_of_restriction(i);
    rule.restriction = i;
    rules_.push_back(std::move(rule));
  }
  for (std::size_t i = 0; i < space.size(); ++i) {
    if (space.axis(i).when) {
      SpaceRule rule;
      rule.axes = space.axes_of_when(i);
      rule.axes.push_back(i);
      rule.is_when = true;
      rule.when_axis = i;
      rules_.push_back(std::move(rule));
    }
  }
  std::size_t spent = 0;
  at_axis_.resize(space.size());
  for (std::size_t r = 0; r < rules_.size(); ++r) {
    SpaceRule& rule = rules_[r];
    const std::size_t size = choices(space, rule.axes);
    if (!rule.axes.empty() && size <= kTableLimit && spent + size <= kAllTablesLimit) {
      spent += size;
      std::size_t product = 1;
      for (const std::size_t axis : rule.axes) {
        product *= space.axis(axis).levels.size();
        rule.allowed.emplace_back(product, false);
      }
      Genome genome = space.default_genome();
      tabulate(rule, 0, 0, genome);
    }
    for (std::size_t j = 0; j < rule.axes.size(); ++j) {
      at_axis_[rule.axes[j]].push_back(
          At{static_cast<std::uint32_t>(r), static_cast<std::uint32_t>(j)});
    }
  }
  possible_ = possible();
  interface_.resize(space.size() + 1);
  for (std::size_t depth = 0; depth <= space.size(); ++depth) {
    std::vector<bool> open(space.size(), false);
    for (const SpaceRule& rule : rules_) {
      for (const std::size_t axis : rule.axes) {
        open[axis] = open[axis] || rule.axes.back() >= depth;  // has an axis, or would not be here
      }
    }
    for (std::size_t axis = 0; axis < depth; ++axis) {
      if (open[axis]) {
        interface_[depth].push_back(axis);
      }
    }
  }
}

// Sets the bits of all choices that extend the first `position` levels, which stand in `genome`.
void SpaceRules::tabulate(SpaceRule& rule,
                          std::size_t position,
                          std::size_t index,
                          Genome& genome) const {
  const std::size_t axis = rule.axes[position];
  const std::size_t levels = space_->axis(axis).levels.size();
  for (std::size_t level = 0; level < levels; ++level) {
    genome.levels[axis] = static_cast<std::uint16_t>(level);
    const std::size_t here = index * levels + level;
    if (!ask(rule, genome, axis + 1)) {
      continue;
    }
    if (position + 1 == rule.axes.size()) {
      rule.allowed[position][here] = true;
    } else {
      tabulate(rule, position + 1, here, genome);
      const std::size_t below = space_->axis(rule.axes[position + 1]).levels.size();
      const auto& next = rule.allowed[position + 1];
      for (std::size_t k = 0; k < below; ++k) {
        rule.allowed[position][here] = rule.allowed[position][here] || next[here * below + k];
      }
    }
  }
}

bool SpaceRules::ask(const SpaceRule& rule, const Genome& genome, std::size_t known) const {
  if (!rule.is_when) {
    return space_->holds_so_far(genome, known, rule.restriction);
  }
  return known <= rule.when_axis ||
         genome.levels[rule.when_axis] == space_->axis(rule.when_axis).default_level ||
         space_->active(genome, rule.when_axis);
}

bool SpaceRules::holds(const SpaceRule& rule, std::size_t position, const Genome& genome) const {
  if (rule.allowed.empty()) {
    return ask(rule, genome, rule.axes[position] + 1);
  }
  std::size_t index = 0;
  for (std::size_t j = 0; j <= position; ++j) {
    const std::size_t axis = rule.axes[j];
    index = index * space_->axis(axis).levels.size() + genome.levels[axis];
  }
  return rule.allowed[position][index];
}

bool SpaceRules::possible() const {
  const Genome genome = space_->default_genome();
  return std::all_of(rules_.begin(), rules_.end(), [&](const SpaceRule& rule) {
    return !rule.axes.empty() || space_->holds_so_far(genome, 0, rule.restriction);
  });
}

bool SpaceRules::allow(const Genome& genome, std::size_t known) const {
  for (const At& at : at_axis_[known - 1]) {
    if (!holds(rules_[at.rule], at.position, genome)) {
      return false;
    }
  }
  return true;
}

bool SpaceRules::valid(const Genome& genome) const {
  if (genome.levels.size() != space_->size()) {
    return false;
  }
  for (std::size_t i = 0; i < space_->size(); ++i) {
    if (genome.levels[i] >= space_->axis(i).levels.size()) {
      return false;
    }
  }
  for (const SpaceRule& rule : rules_) {
    if (!rule.axes.empty() && !holds(rule, rule.axes.size() - 1, genome)) {
      return false;
    }
  }
  return possible_;
}

}  // namespace coppice::detail
