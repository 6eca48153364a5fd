// repair: a failed candidate brought back towards what works: one axis set to the incumbent's
// level, or to an adjacent one.
#include "mutators/table.h"

#include <set>

namespace coppice::mutators {
namespace {

class Repair final : public Mutator {
 public:
  std::string_view name() const override { return "repair"; }

  std::vector<Idea> propose(const Scene& scene, Rng& rng) const override {
    std::vector<Idea> ideas;
    if (!scene.failed) {
      return ideas;
    }
    std::set<Genome> seen;
    const auto offer = [&](const Genome& genome) {
      if (ideas.size() < scene.limit && scene.is_new(genome) && seen.insert(genome).second) {
        ideas.push_back({genome, {scene.failed->candidate}});
      }
    };
    if (scene.incumbent) {
      const Genome& good = scene.incumbent->genome;
      for (std::size_t i = 0; i < good.levels.size(); ++i) {
        Genome mixed = scene.failed->genome;
        if (mixed.levels[i] == good.levels[i]) {
          continue;
        }
        mixed.levels[i] = good.levels[i];
        if (auto genome = with_pins(scene, std::move(mixed), rng)) {
          offer(*genome);
        }
      }
    }
    for (const Genome& genome : scene.neighbours(scene.failed->genome)) {
      offer(genome);
    }
    return ideas;
  }

  std::string explain(const Scene& scene, const Idea& idea) const override {
    return "repair of candidate " + std::to_string(scene.failed->candidate.value) + " (" +
           scene.failed->failure +
           "): " + difference(*scene.space, scene.failed->genome, idea.genome);
  }
};

}  // namespace

std::unique_ptr<Mutator> make_repair() {
  return std::make_unique<Repair>();
}

}  // namespace coppice::mutators
