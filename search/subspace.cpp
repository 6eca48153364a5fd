// Drawing untried points under pins.
#include "search/domain.h"

#include <set>

namespace coppice::search {

Subspace::Subspace(const Domain& domain, std::uint32_t t, std::vector<Pin> pins)
    : template_(t), pins_(std::move(pins)), listed_(domain.listed(t) != nullptr) {
  if (!listed_) {
    return;
  }
  const std::vector<Genome>& points = *domain.listed(t);
  for (std::uint32_t i = 0; i < points.size(); ++i) {
    if (mutators::holds_pins(pins_, points[i])) {
      rest_.push_back(i);
    }
  }
}

std::optional<Genome> Subspace::draw(const Domain& domain, const Tried& tried, Rng& rng) {
  if (!listed_) {
    return draw_unlisted(domain, tried, rng);
  }
  const std::vector<Genome>& points = *domain.listed(template_);
  while (!rest_.empty()) {
    const std::size_t i = rng.below(rest_.size());
    const Genome& genome = points[rest_[i]];
    if (!tried(genome)) {
      return genome;
    }
    rest_[i] = rest_.back();
    rest_.pop_back();
  }
  return std::nullopt;
}

std::optional<Genome> Subspace::draw_unlisted(const Domain& domain,
                                              const Tried& tried,
                                              Rng& rng) const {
  constexpr int kTries = 200;
  const AxisSpace& space = domain.axes(template_);
  const SpaceWalker& walker = domain.walker(template_);
  std::vector<std::size_t> pinned;
  for (const Pin& pin : pins_) {
    pinned.push_back(pin.axis);
  }
  for (int i = 0; i < kTries; ++i) {
    auto genome = walker.sample(rng);
    if (genome && !mutators::holds_pins(pins_, *genome)) {
      for (const Pin& pin : pins_) {
        genome->levels[pin.axis] = pin.level;
      }
      genome = space.canonical(std::move(*genome));
      if (!mutators::holds_pins(pins_, *genome) || !space.valid(*genome)) {
        for (const Pin& pin : pins_) {
          genome->levels[pin.axis] = pin.level;
        }
        genome = walker.repair(*genome, pinned, rng);
      }
    }
    if (genome && mutators::holds_pins(pins_, *genome) && domain.class_of({template_, *genome}) &&
        !tried(*genome)) {
      return genome;
    }
  }
  return std::nullopt;
}

std::vector<Genome> Subspace::sample(const Domain& domain,
                                     const Tried& tried,
                                     std::size_t limit,
                                     Rng& rng) {
  std::vector<Genome> out;
  if (listed_ && rest_.size() <= limit) {
    const std::vector<Genome>& points = *domain.listed(template_);
    std::erase_if(rest_, [&](std::uint32_t place) { return tried(points[place]); });
    for (const std::uint32_t place : rest_) {
      out.push_back(points[place]);
    }
    return out;
  }
  std::set<Genome> seen;
  for (std::size_t i = 0; i < 2 * limit && out.size() < limit; ++i) {
    auto genome = draw(domain, tried, rng);
    if (!genome) {
      break;
    }
    if (seen.insert(*genome).second) {
      out.push_back(std::move(*genome));
    }
  }
  return out;
}

std::optional<std::size_t> Subspace::remaining() const {
  return listed_ ? std::optional<std::size_t>(rest_.size()) : std::nullopt;
}

}  // namespace coppice::search
