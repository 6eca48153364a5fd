// structural_switch: the best candidate's numbers under another combination of structural levels.
#include "mutators/table.h"

#include <algorithm>
#include <set>

namespace coppice::mutators {
namespace {

std::vector<std::size_t> structural_axes(const AxisSpace& space) {
  std::vector<std::size_t> axes;
  for (std::size_t i = 0; i < space.size(); ++i) {
    if (space.axis(i).structural) {
      axes.push_back(i);
    }
  }
  return axes;
}

// All combinations of levels, or `limit` random ones where there are more.
std::vector<std::vector<Pin>> combinations(const AxisSpace& space,
                                           const std::vector<std::size_t>& axes,
                                           std::size_t limit,
                                           Rng& rng) {
  std::uint64_t count = 1;
  for (const std::size_t axis : axes) {
    count *= space.axis(axis).levels.size();
    if (count > 4096) {
      break;
    }
  }
  const bool all = count <= 4096;
  std::vector<std::vector<Pin>> out;
  for (std::uint64_t i = 0; i < (all ? count : std::uint64_t{limit}); ++i) {
    std::uint64_t code = i;
    std::vector<Pin> pins;
    for (const std::size_t axis : axes) {
      const std::uint64_t levels = space.axis(axis).levels.size();
      const std::uint64_t level = all ? code % levels : rng.below(levels);
      pins.push_back({axis, static_cast<std::uint16_t>(level)});
      code /= levels;
    }
    out.push_back(std::move(pins));
  }
  rng.shuffle(out);
  return out;
}

class StructuralSwitch final : public Mutator {
 public:
  std::string_view name() const override { return "structural_switch"; }

  // Ideas leave the pins of the scene in place and change at least one other structural axis.
  std::vector<Idea> propose(const Scene& scene, Rng& rng) const override {
    std::vector<std::size_t> axes = structural_axes(*scene.space);
    std::erase_if(axes, [&](std::size_t axis) {
      return std::any_of(
          scene.pins.begin(), scene.pins.end(), [&](const Pin& p) { return p.axis == axis; });
    });
    if (axes.empty()) {
      return {};
    }
    const Genome base =
        scene.elites.empty() ? scene.space->default_genome() : scene.elites.front().genome;
    std::vector<CandidateId> parents;
    if (!scene.elites.empty()) {
      parents.push_back(scene.elites.front().candidate);
    }
    std::vector<Idea> ideas;
    std::set<Genome> seen;
    for (const std::vector<Pin>& levels : combinations(*scene.space, axes, scene.limit, rng)) {
      if (ideas.size() == scene.limit) {
        break;
      }
      Scene under = scene;
      under.pins.insert(under.pins.end(), levels.begin(), levels.end());
      auto genome = with_pins(under, base, rng);
      if (genome && scene.is_new(*genome) && seen.insert(*genome).second) {
        ideas.push_back({std::move(*genome), parents});
      }
    }
    return ideas;
  }

  std::string explain(const Scene& scene, const Idea& idea) const override {
    const Genome* from = idea.parents.empty() ? nullptr : genome_of(scene, idea.parents.front());
    const Genome base = from != nullptr ? *from : scene.space->default_genome();
    return "another structure: " + difference(*scene.space, base, idea.genome);
  }
};

}  // namespace

std::unique_ptr<Mutator> make_structural_switch() {
  return std::make_unique<StructuralSwitch>();
}

}  // namespace coppice::mutators
