// crossover: each axis takes its level from one of two elites, niches mixed.
#include "mutators/table.h"

#include <set>

namespace coppice::mutators {
namespace {

class Crossover final : public Mutator {
 public:
  std::string_view name() const override { return "crossover"; }

  std::vector<Idea> propose(const Scene& scene, Rng& rng) const override {
    std::vector<Idea> ideas;
    if (scene.elites.size() < 2) {
      return ideas;
    }
    std::set<Genome> seen;
    for (std::size_t i = 0; i < 2 * scene.limit && ideas.size() < scene.limit; ++i) {
      const std::size_t first = better(scene.elites.size(), rng);
      std::size_t second = rng.below(scene.elites.size() - 1);
      second += second >= first ? 1U : 0U;
      auto genome = mix(scene, scene.elites[first].genome, scene.elites[second].genome, rng);
      if (genome && scene.is_new(*genome) && seen.insert(*genome).second) {
        ideas.push_back(
            {std::move(*genome), {scene.elites[first].candidate, scene.elites[second].candidate}});
      }
    }
    return ideas;
  }

  std::string explain(const Scene&, const Idea& idea) const override {
    return "levels of candidates " + std::to_string(idea.parents.at(0).value) + " and " +
           std::to_string(idea.parents.at(1).value) + " mixed";
  }

 private:
  // The better of two random ranks.
  static std::size_t better(std::size_t count, Rng& rng) {
    const std::size_t a = rng.below(count);
    const std::size_t b = rng.below(count);
    return a < b ? a : b;
  }

  static std::optional<Genome> mix(const Scene& scene, const Genome& a, const Genome& b, Rng& rng) {
    Genome child = a;
    const std::uint64_t coins = rng.next();
    for (std::size_t i = 0; i < child.levels.size(); ++i) {
      if ((coins >> (i % 64)) & 1U) {
        child.levels[i] = b.levels[i];
      }
    }
    for (const Pin& pin : scene.pins) {
      child.levels[pin.axis] = pin.level;
    }
    child = scene.space->canonical(std::move(child));
    if (!holds_pins(scene.pins, child) || !scene.space->valid(child)) {
      return std::nullopt;
    }
    return child;
  }
};

}  // namespace

std::unique_ptr<Mutator> make_crossover() {
  return std::make_unique<Crossover>();
}

}  // namespace coppice::mutators
