// local_exhaustive: every untried change of one axis of the incumbent; finds needles that a smooth
// model hides.
#include "mutators/table.h"

namespace coppice::mutators {
namespace {

class LocalExhaustive final : public Mutator {
 public:
  std::string_view name() const override { return "local_exhaustive"; }

  std::vector<Idea> propose(const Scene& scene, Rng&) const override {
    std::vector<Idea> ideas;
    if (!scene.incumbent) {
      return ideas;
    }
    for (const Genome& genome : scene.neighbours(scene.incumbent->genome)) {
      if (ideas.size() < scene.limit && scene.is_new(genome)) {
        ideas.push_back({genome, {scene.incumbent->candidate}});
      }
    }
    return ideas;
  }

  std::string explain(const Scene& scene, const Idea& idea) const override {
    return "untried change next to the incumbent: " +
           (scene.incumbent ? difference(*scene.space, scene.incumbent->genome, idea.genome)
                            : std::string());
  }
};

}  // namespace

std::unique_ptr<Mutator> make_local_exhaustive() {
  return std::make_unique<LocalExhaustive>();
}

}  // namespace coppice::mutators
