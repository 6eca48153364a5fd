// Helpers that several mutators use.
#include "mutators/mutator.h"

#include <algorithm>

namespace coppice::mutators {

bool holds_pins(const std::vector<Pin>& pins, const Genome& genome) {
  return std::all_of(pins.begin(), pins.end(), [&](const Pin& pin) {
    return genome.levels[pin.axis] == pin.level;
  });
}

std::optional<Genome> with_pins(const Scene& scene, Genome genome, Rng& rng) {
  std::vector<std::size_t> pinned;
  for (const Pin& pin : scene.pins) {
    genome.levels[pin.axis] = pin.level;
    pinned.push_back(pin.axis);
  }
  genome = scene.space->canonical(std::move(genome));
  if (holds_pins(scene.pins, genome) && scene.space->valid(genome)) {
    return genome;
  }
  for (const Pin& pin : scene.pins) {
    genome.levels[pin.axis] = pin.level;
  }
  auto repaired = scene.walker != nullptr ? scene.walker->repair(genome, pinned, rng)
                                          : repair(*scene.space, genome, pinned, rng);
  if (repaired && holds_pins(scene.pins, *repaired)) {
    return repaired;
  }
  return std::nullopt;
}

std::string difference(const AxisSpace& space, const Genome& from, const Genome& to) {
  std::string text;
  for (std::size_t i = 0; i < space.size(); ++i) {
    if (from.levels[i] != to.levels[i]) {
      text += (text.empty() ? "" : ", ") + space.axis(i).name + " " +
              to_text(space.value(from, i)) + " -> " + to_text(space.value(to, i));
    }
  }
  return text;
}

const Genome* genome_of(const Scene& scene, CandidateId candidate) {
  if (scene.incumbent && scene.incumbent->candidate == candidate) {
    return &scene.incumbent->genome;
  }
  if (scene.failed && scene.failed->candidate == candidate) {
    return &scene.failed->genome;
  }
  for (const Parent& elite : scene.elites) {
    if (elite.candidate == candidate) {
      return &elite.genome;
    }
  }
  return nullptr;
}

}  // namespace coppice::mutators
