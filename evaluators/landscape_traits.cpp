// Landscapes drawn from lists of traits: each stresses one thing that makes real spaces hard.
#include "evaluators/landscape_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace coppice::evaluators::detail {
namespace {

struct Traits {
  std::string_view name;
  int ordinals = 5, levels = 5;   // of which the last `irrelevant` do not matter
  int flags = 2, kinds_axes = 0;  // on/off axes; axes without order, of five kinds
  int irrelevant = 0;
  double curve = 1.0;  // weight of each axis's own shape
  int pairs = 2;       // interacting pairs of axes
  double pair_weight = 1.0;
  double step = 0.0;     // plateaus: ln(time) in steps of this
  double saw = 0.0;      // height of teeth, as wave quantisation makes them
  double fails = 0.0;    // share that fails when it is run
  double tail = 0.0;     // ln of the slow-down where three conditions meet
  double needles = 0.0;  // share of points that are faster than all around them
  double needle_depth = 0.0;
  double trap = 0.0;    // a second, broad basin that is worse by this
  double rough = 0.01;  // small differences of every point from its neighbours
  double noise = 0.0;
};

// clang-format off
constexpr Traits kTraits[] = {
    {.name = "smooth", .ordinals = 6, .levels = 4, .pairs = 0, .rough = 0.0},
    {.name = "plateaus", .ordinals = 6, .levels = 4, .step = 0.12, .rough = 0.0},
    {.name = "cliffs", .ordinals = 6, .levels = 4, .fails = 0.55},
    {.name = "needles", .ordinals = 6, .levels = 4, .flags = 2, .needles = 0.0008, .needle_depth = 0.25},
    {.name = "interactions", .ordinals = 6, .levels = 4, .flags = 1, .curve = 0.3, .pairs = 9, .pair_weight = 2.0},
    {.name = "irrelevant_axes", .ordinals = 8, .levels = 3, .flags = 1, .irrelevant = 5, .curve = 1.5},
    {.name = "heavy_tail", .ordinals = 6, .levels = 4, .curve = 1.5, .pairs = 3, .tail = 4.0},
    {.name = "noisy", .ordinals = 6, .levels = 4, .noise = 0.05},
    {.name = "unordered", .ordinals = 3, .levels = 4, .flags = 1, .kinds_axes = 3, .curve = 0.6, .pairs = 1},
    {.name = "waves", .ordinals = 5, .levels = 5, .flags = 1, .saw = 0.35},
    {.name = "trap", .ordinals = 6, .levels = 4, .flags = 0, .pairs = 1, .trap = 0.2},
};
// clang-format on

constexpr std::size_t kKinds = 5;

class Terrain {
 public:
  Terrain(const Traits& traits, std::uint64_t instance)
      : traits_(traits),
        rng_(stream(instance, fmt::format("landscape/{}", traits.name), 0)),
        salt_(rng_.next()) {
    for (int i = 0; i < traits.ordinals; ++i) {
      shapes_.push_back({rng_.uniform(),
                         traits.curve * (0.3 + 1.4 * rng_.uniform()),
                         rng_.below(3) == 0,
                         rng_.uniform(),
                         1.0 + static_cast<double>(rng_.below(3))});
    }
    for (int i = 0; i < traits.pairs; ++i) {
      const std::size_t a = any_relevant();
      const std::size_t b = any_relevant();
      pairs_.push_back({a,
                        b == a ? (a + 1) % relevant() : b,
                        rng_.below(2) == 0 ? 1.0 : -1.0,
                        rng_.uniform(),
                        traits.pair_weight * (0.4 + rng_.uniform())});
    }
    for (int i = 0; i < traits.flags; ++i) {
      flags_.push_back({any_relevant(), 0.4 * (rng_.uniform() - 0.3), 0.4 * rng_.uniform()});
    }
    for (int i = 0; i < traits.kinds_axes; ++i) {
      std::vector<double> one;
      for (std::size_t k = 0; k < kKinds; ++k) {
        one.push_back(0.7 * rng_.uniform());
        one.push_back(rng_.uniform() - 0.5);  // moves the optimum of an ordinal
      }
      kinds_.push_back({any_relevant(), std::move(one)});
    }
    for (int i = 0; i < 3; ++i) {
      tail_axes_[i] = any_relevant();
      tail_at_[i] = 0.3 + 0.4 * rng_.uniform();
    }
    set_limit();
  }

  // ln(time), or nothing when it fails.
  std::optional<double> at(const Genome& genome) const {
    std::vector<double> u = places(genome);
    if (traits_.fails > 0.0 && demand(u) > limit_) {
      return std::nullopt;
    }
    double v = own_shapes(u, genome);  // moves optima, before they interact
    v += interactions(u);
    if (traits_.trap > 0.0) {
      v = std::min(0.25 + 4.0 * v, traits_.trap + 0.3 * far_corner(u));
    }
    if (traits_.saw > 0.0) {
      v += teeth(u);
    }
    if (traits_.tail > 0.0 && in_tail(u)) {
      v += traits_.tail * (0.5 + u[tail_axes_[0]]);
    }
    if (traits_.step > 0.0) {
      v = traits_.step * std::floor(v / traits_.step);
    }
    v += traits_.rough * share_of(genome, salt_);
    if (share_of(genome, salt_ + 1) < traits_.needles) {
      v -= traits_.needle_depth;
    }
    return v;
  }

 private:
  struct Shape {
    double best, weight;
    bool falling;  // the more the better, with diminishing returns
    double demand, period;
  };
  struct Pair {
    std::size_t a, b;
    double sign, at, weight;
  };
  struct Flag {
    std::size_t axis;
    double effect, turn;  // another effect where that axis is high
  };
  struct Kind {
    std::size_t axis;
    std::vector<double> effects;
  };

  std::size_t relevant() const {
    return static_cast<std::size_t>(traits_.ordinals - traits_.irrelevant);
  }
  std::size_t any_relevant() { return rng_.below(relevant()); }

  std::vector<double> places(const Genome& genome) const {
    std::vector<double> u;
    for (int i = 0; i < traits_.ordinals; ++i) {
      u.push_back(genome.levels[static_cast<std::size_t>(i)] /
                  static_cast<double>(traits_.levels - 1));
    }
    return u;
  }

  double demand(const std::vector<double>& u) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < relevant(); ++i) {
      sum += shapes_[i].demand * u[i];
    }
    return sum + 0.4 * u[pairs_.empty() ? 0 : pairs_[0].a] * u[pairs_.empty() ? 1 : pairs_[0].b];
  }

  // The demand that all but the wanted share of points stay below.
  void set_limit() {
    std::vector<double> seen;
    for (int i = 0; i < 4000; ++i) {
      std::vector<double> u;
      for (int axis = 0; axis < traits_.ordinals; ++axis) {
        u.push_back(static_cast<double>(rng_.below(static_cast<std::uint64_t>(traits_.levels))) /
                    static_cast<double>(traits_.levels - 1));
      }
      seen.push_back(demand(u));
    }
    std::sort(seen.begin(), seen.end());
    limit_ = seen[static_cast<std::size_t>((1.0 - traits_.fails) * 3999.0)];
  }

  double own_shapes(std::vector<double>& u, const Genome& genome) const {
    double v = 0.0;
    const auto first_flag = static_cast<std::size_t>(traits_.ordinals);
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      const std::size_t level = genome.levels[first_flag + flags_.size() + k];
      v += kinds_[k].effects[2 * level];
      u[kinds_[k].axis] += kinds_[k].effects[2 * level + 1];
    }
    for (std::size_t i = 0; i < relevant(); ++i) {
      const Shape& shape = shapes_[i];
      const double away = u[i] - shape.best;
      v += shape.falling ? shape.weight * 0.25 / (0.25 + std::abs(u[i]))
                         : shape.weight * away * away;
    }
    for (std::size_t f = 0; f < flags_.size(); ++f) {
      const bool on = genome.levels[first_flag + f] != 0;
      v += on ? flags_[f].effect - (u[flags_[f].axis] > 0.5 ? flags_[f].turn : 0.0) : 0.0;
    }
    return v;
  }

  double interactions(const std::vector<double>& u) const {
    double v = 0.0;
    for (const Pair& pair : pairs_) {
      const double away = u[pair.a] + pair.sign * u[pair.b] - pair.at;
      v += pair.weight * away * away;
    }
    return v;
  }

  double far_corner(const std::vector<double>& u) const {
    double v = 0.0;
    for (std::size_t i = 0; i < relevant(); ++i) {
      const double corner = shapes_[i].best > 0.5 ? 0.0 : 1.0;
      v += (u[i] - corner) * (u[i] - corner);
    }
    return v;
  }

  double teeth(const std::vector<double>& u) const {
    double waves = 0.0;
    for (std::size_t i = 0; i < relevant(); ++i) {
      waves += shapes_[i].period * u[i];
    }
    return traits_.saw * (std::ceil(0.7 * waves) / (0.7 * waves + 0.05) - 1.0);
  }

  bool in_tail(const std::vector<double>& u) const {
    return u[tail_axes_[0]] > tail_at_[0] && u[tail_axes_[1]] < tail_at_[1] &&
           u[tail_axes_[2]] < tail_at_[2] + 0.3;
  }

  Traits traits_;
  Rng rng_;
  std::uint64_t salt_;
  std::vector<Shape> shapes_;
  std::vector<Pair> pairs_;
  std::vector<Flag> flags_;
  std::vector<Kind> kinds_;
  std::size_t tail_axes_[3] = {};
  double tail_at_[3] = {};
  double limit_ = 0.0;
};

}  // namespace

std::vector<std::string_view> trait_names() {
  std::vector<std::string_view> out;
  for (const Traits& traits : kTraits) {
    out.push_back(traits.name);
  }
  return out;
}

Landscape trait_landscape(std::string_view name, std::uint64_t instance) {
  const Traits& traits = *std::find_if(
      std::begin(kTraits), std::end(kTraits), [&](const Traits& t) { return t.name == name; });
  Landscape out;
  for (int i = 0; i < traits.ordinals; ++i) {
    std::vector<std::int64_t> levels;
    for (int level = 0; level < traits.levels; ++level) {
      levels.push_back(i % 3 == 2 ? level + 1 : std::int64_t{4} << level);
    }
    out.axes.push_back(numbers(fmt::format("n{}", i), std::move(levels)));
  }
  for (int i = 0; i < traits.flags; ++i) {
    out.axes.push_back(flag(fmt::format("f{}", i)));
  }
  for (int i = 0; i < traits.kinds_axes; ++i) {
    out.axes.push_back(kinds(fmt::format("c{}", i), kKinds));
  }
  out.noise = traits.noise;
  const auto terrain = std::make_shared<const Terrain>(traits, instance);
  out.milliseconds = [terrain](const AxisSpace&, const Genome& genome) {
    const auto v = terrain->at(genome);
    return v ? pinned::exp(*v) : 0.0;
  };
  return out;
}

}  // namespace coppice::evaluators::detail
