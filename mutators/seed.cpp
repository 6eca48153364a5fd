// seed: the template's default, brought under the node's pins.
#include "mutators/table.h"

namespace coppice::mutators {
namespace {

class Seed final : public Mutator {
 public:
  std::string_view name() const override { return "seed"; }

  std::vector<Idea> propose(const Scene& scene, Rng& rng) const override {
    auto genome = with_pins(scene, scene.space->default_genome(), rng);
    if (!genome || !scene.is_new(*genome)) {
      return {};
    }
    return {Idea{std::move(*genome), {}}};
  }

  std::string explain(const Scene& scene, const Idea& idea) const override {
    const std::string change = difference(*scene.space, scene.space->default_genome(), idea.genome);
    return change.empty() ? "the template's default"
                          : "the template's default, made valid here: " + change;
  }
};

}  // namespace

std::unique_ptr<Mutator> make_seed() {
  return std::make_unique<Seed>();
}

}  // namespace coppice::mutators
