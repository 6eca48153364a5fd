// axis_step: one axis of an elite moves to an adjacent level (categorical axes: to any level).
#include "mutators/table.h"

#include <cstdlib>

namespace coppice::mutators {
namespace {

bool adjacent(const AxisSpace& space, const Genome& from, const Genome& to) {
  int changed = 0;
  for (std::size_t i = 0; i < space.size(); ++i) {
    const int step = std::abs(int{from.levels[i]} - int{to.levels[i]});
    if (step == 0) {
      continue;
    }
    ++changed;
    if (step > 1 && space.axis(i).type != AxisType::categorical) {
      return false;
    }
  }
  // More than one axis: the step switched a conditional axis on or off with it.
  return changed > 0;
}

class AxisStep final : public Mutator {
 public:
  std::string_view name() const override { return "axis_step"; }

  std::vector<Idea> propose(const Scene& scene, Rng&) const override {
    constexpr std::size_t kParents = 4;
    std::vector<Idea> ideas;
    std::size_t parents = 0;
    for (const Parent& parent : scene.elites) {
      if (!holds_pins(scene.pins, parent.genome) || parents == kParents) {
        continue;
      }
      ++parents;
      for (const Genome& genome : scene.neighbours(parent.genome)) {
        if (ideas.size() < scene.limit && adjacent(*scene.space, parent.genome, genome) &&
            scene.is_new(genome)) {
          ideas.push_back({genome, {parent.candidate}});
        }
      }
    }
    return ideas;
  }

  std::string explain(const Scene& scene, const Idea& idea) const override {
    const Genome* from = genome_of(scene, idea.parents.front());
    return "step from candidate " + std::to_string(idea.parents.front().value) + ": " +
           (from != nullptr ? difference(*scene.space, *from, idea.genome) : "");
  }
};

}  // namespace

std::unique_ptr<Mutator> make_axis_step() {
  return std::make_unique<AxisStep>();
}

}  // namespace coppice::mutators
