// jump: a random untried point under the node; many of them give the world model a global choice.
#include "mutators/table.h"

#include <set>

namespace coppice::mutators {
namespace {

class Jump final : public Mutator {
 public:
  std::string_view name() const override { return "jump"; }

  std::vector<Idea> propose(const Scene& scene, Rng& rng) const override {
    std::vector<Idea> ideas;
    std::set<Genome> seen;
    std::size_t repeats = 0;
    while (ideas.size() < scene.limit && repeats < scene.limit) {
      auto genome = scene.draw(rng);
      if (!genome) {
        break;
      }
      if (!seen.insert(*genome).second) {
        ++repeats;
        continue;
      }
      ideas.push_back({std::move(*genome), {}});
    }
    return ideas;
  }

  std::string explain(const Scene& scene, const Idea& idea) const override {
    if (!scene.incumbent) {
      return "a random point under the node";
    }
    int changed = 0;
    for (std::size_t i = 0; i < scene.space->size(); ++i) {
      changed += scene.incumbent->genome.levels[i] != idea.genome.levels[i] ? 1 : 0;
    }
    return "a jump, " + std::to_string(changed) + " axes away from the incumbent";
  }
};

}  // namespace

std::unique_ptr<Mutator> make_jump() {
  return std::make_unique<Jump>();
}

}  // namespace coppice::mutators
