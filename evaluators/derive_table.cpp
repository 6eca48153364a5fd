// Distorts recorded tables, each in its own way for each instance.
#include "evaluators/derive_table.h"

#include "core/pinned_math.h"
#include "core/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace coppice::evaluators {
namespace {

struct Derivation {
  std::string_view name;
  double level = 0.0;    // standard deviation of what a level costs, in ln(time)
  double pair = 0.0;     // of what a pair of levels costs
  double chance = 0.0;   // of each configuration's own difference
  double stretch = 0.0;  // slow-downs to the power 1 +- this
  double missing = 0.0;  // share that was not recorded
  double failing = 0.0;  // share of pairs of levels that fail together, of one pair of axes
};

constexpr std::array<Derivation, 5> kDerivations = {
    {{"sibling", 0.05, 0.05, 0.03, 0.15, 0.05, 0.04},
     {"cousin", 0.12, 0.12, 0.06, 0.4, 0.1, 0.1},
     {"mirror"},
     {"shuffled"},
     {"planted"}}};

std::vector<std::size_t> varying_axes(const AxisSpace& space) {
  std::vector<std::size_t> out;
  for (std::size_t a = 0; a < space.size(); ++a) {
    if (space.axis(a).levels.size() > 1) {
      out.push_back(a);
    }
  }
  return out;
}

std::uint64_t genome_hash(const Genome& genome, std::uint64_t salt) {
  std::uint64_t hash = mix64(salt);
  for (const std::uint16_t level : genome.levels) {
    hash = mix64(hash ^ (level + 1U));
  }
  return hash;
}

double unit_share(std::uint64_t hash) {
  return static_cast<double>(hash >> 11U) * 0x1.0p-53;
}

// Along an ordered axis a walk, so that neighbours stay neighbours; without order independent.
std::vector<double> level_costs(const Axis& axis, double spread, Rng& rng) {
  std::vector<double> out;
  const bool walk = axis.type != AxisType::categorical;
  double at = 0.0;
  const double steps = static_cast<double>(axis.levels.size());
  for (std::size_t i = 0; i < axis.levels.size(); ++i) {
    at = walk ? at + spread * rng.normal() / std::sqrt(0.5 * steps) : spread * rng.normal();
    out.push_back(at);
  }
  return out;
}

class Distortion {
 public:
  Distortion(const RecordedTable& table, const Derivation& kind, std::uint64_t instance)
      : table_(table),
        kind_(kind),
        axes_(varying_axes(table.space().space)),
        rng_(stream(instance, fmt::format("derive/{}", kind.name), table.size())),
        salt_(rng_.next()) {
    const AxisSpace& space = table.space().space;
    for (const std::size_t axis : axes_) {
      levels_.push_back(level_costs(space.axis(axis), kind.level, rng_));
    }
    for (std::size_t i = 0; axes_.size() > 1 && i < axes_.size(); ++i) {
      Pair pair;
      pair.a = axes_[rng_.below(axes_.size())];
      pair.b = axes_[rng_.below(axes_.size())];
      for (std::size_t l = 0; l < space.axis(pair.a).levels.size(); ++l) {
        pair.costs.push_back(level_costs(space.axis(pair.b), kind.pair, rng_));
      }
      if (pair.a != pair.b) {
        pairs_.push_back(std::move(pair));
      }
    }
    power_ = 1.0 + kind.stretch * (2.0 * rng_.uniform() - 1.0);
    offset_ = rng_.normal();
  }

  // Nothing: not recorded.
  std::optional<RecordedOutcome> at(const Genome& genome, const RecordedOutcome& was) const {
    RecordedOutcome out = was;
    if (unit_share(genome_hash(genome, salt_)) < kind_.missing) {
      return std::nullopt;
    }
    if (!pairs_.empty() && forbidden(genome)) {
      out = RecordedOutcome{};
      out.gate = Gate::smoke;
      out.failure = FailureClass::crash;
      return out;
    }
    if (!was.valid) {
      return out;
    }
    double cost = power_ * pinned::log(was.milliseconds / table_.optimum_milliseconds());
    for (std::size_t i = 0; i < axes_.size(); ++i) {
      cost += levels_[i][genome.levels[axes_[i]]];
    }
    for (const Pair& pair : pairs_) {
      cost += pair.costs[genome.levels[pair.a]][genome.levels[pair.b]];
    }
    const double p = unit_share(genome_hash(genome, salt_ + 1)) * 0.9998 + 0.0001;
    cost += kind_.chance * pinned::normal_quantile(p) + offset_;
    out.milliseconds = table_.optimum_milliseconds() * pinned::exp(cost);
    return out;
  }

 private:
  struct Pair {
    std::size_t a = 0, b = 0;
    std::vector<std::vector<double>> costs;  // by level of a, then of b
  };
  // The other device's own limit: some combinations of levels of two axes.
  bool forbidden(const Genome& genome) const {
    const Pair& pair = pairs_.front();
    const std::uint64_t code = genome.levels[pair.a] * 65536ULL + genome.levels[pair.b];
    return unit_share(mix64(salt_ + 2 + mix64(code))) < kind_.failing;
  }

  const RecordedTable& table_;
  const Derivation& kind_;
  std::vector<std::size_t> axes_;
  mutable Rng rng_;
  std::uint64_t salt_;
  std::vector<std::vector<double>> levels_;
  std::vector<Pair> pairs_;
  double power_ = 1.0, offset_ = 0.0;
};

using Rows = std::vector<std::pair<Genome, RecordedOutcome>>;

// Times of the valid configurations, ascending.
std::vector<double> times_of(const RecordedTable& table) {
  std::vector<double> out;
  for (const RecordedOutcome& outcome : table.outcomes()) {
    if (outcome.valid) {
      out.push_back(outcome.milliseconds);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

void mirror(Rows& rows, const std::vector<double>& times) {
  for (auto& [genome, outcome] : rows) {
    if (outcome.valid) {
      const auto rank = static_cast<std::size_t>(
          std::lower_bound(times.begin(), times.end(), outcome.milliseconds) - times.begin());
      outcome.milliseconds = times[times.size() - 1 - rank];
    }
  }
}

void shuffle(Rows& rows, std::vector<double> times, std::uint64_t instance) {
  Rng rng = stream(instance, "derive/shuffled", rows.size());
  rng.shuffle(times);
  std::size_t next = 0;
  for (auto& [genome, outcome] : rows) {
    if (outcome.valid) {
      outcome.milliseconds = times[next++];
    }
  }
}

// A tenth of the configurations or so, all slower than three quarters of the others.
void plant(Rows& rows, const std::vector<double>& times, std::uint64_t instance) {
  const double slow = times[times.size() * 3 / 4];
  const double best = times.front();
  Rng rng = stream(instance, "derive/planted", rows.size());
  const std::size_t axes = rows.front().first.levels.size();
  const Genome& seed = rows[rng.below(rows.size())].first;
  const std::size_t a = rng.below(axes);
  const std::size_t b = rng.below(axes);
  for (auto& [genome, outcome] : rows) {
    const bool inside = genome.levels[a] == seed.levels[a] && genome.levels[b] == seed.levels[b];
    if (outcome.valid && outcome.milliseconds > slow && inside) {
      outcome.milliseconds = best * best / outcome.milliseconds;
    }
  }
}

}  // namespace

std::vector<std::string> derivation_names() {
  std::vector<std::string> out;
  for (const Derivation& kind : kDerivations) {
    out.emplace_back(kind.name);
  }
  return out;
}

Result<RecordedTable> derive_table(const RecordedTable& table,
                                   std::string_view name,
                                   std::uint64_t instance) {
  const auto kind = std::find_if(
      kDerivations.begin(), kDerivations.end(), [&](const auto& one) { return one.name == name; });
  if (kind == kDerivations.end()) {
    return Error{
        ErrorCode::usage,
        fmt::format("derived:{}: expected one of {}", name, fmt::join(derivation_names(), ", "))};
  }
  const Distortion distortion(table, *kind, instance);
  const bool distorts = kind->level > 0.0;
  const std::vector<Genome>& genomes = *table.space().space.listed();
  Rows rows;
  for (std::size_t i = 0; i < genomes.size(); ++i) {
    const RecordedOutcome& was = table.outcomes()[i];
    if (auto outcome = distorts ? distortion.at(genomes[i], was) : std::optional(was)) {
      rows.emplace_back(genomes[i], *outcome);
    }
  }
  if (name == "mirror") {
    mirror(rows, times_of(table));
  } else if (name == "shuffled") {
    shuffle(rows, times_of(table), instance);
  } else if (name == "planted") {
    plant(rows, times_of(table), instance);
  }
  std::vector<Genome> kept;
  std::vector<RecordedOutcome> outcomes;
  for (auto& [genome, outcome] : rows) {
    kept.push_back(std::move(genome));
    outcomes.push_back(outcome);
  }
  return RecordedTable::create(fmt::format("derived:{}/{} of {}", name, instance, table.name()),
                               table.space().space.axes(),
                               std::move(kept),
                               std::move(outcomes));
}

}  // namespace coppice::evaluators
