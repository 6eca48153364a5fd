// Maps points of this run's space into each source's own, looks them up there, or asks its model.
#include "planner/warm_prior.h"

#include "core/random.h"
#include "planner/point_table.h"
#include "planner/world_model.h"

#include <algorithm>
#include <optional>

namespace coppice::planner {
namespace {

constexpr std::size_t kModelValid = 224, kModelFailed = 96;  // rows that a source's model sees
constexpr double kLeastRange = 1e-3;                         // of log costs

bool ordered_numbers(const Axis& axis) {
  const auto number = [](const Value& v) {
    return std::holds_alternative<std::int64_t>(v) || std::holds_alternative<double>(v);
  };
  return axis.type != AxisType::categorical &&
         std::all_of(axis.levels.begin(), axis.levels.end(), number);
}

double as_number(const Value& value) {
  const auto* whole = std::get_if<std::int64_t>(&value);
  return whole != nullptr ? static_cast<double>(*whole) : std::get<double>(value);
}

std::uint16_t place_of(const std::vector<Value>& levels, const Value& value) {
  return static_cast<std::uint16_t>(std::find(levels.begin(), levels.end(), value) -
                                    levels.begin());
}

// The source's axis with the levels that only the target has; numbers stay in order.
Axis joined(const WarmAxis& mine, const Axis* target) {
  Axis out;
  out.name = mine.name;
  out.type = mine.type;
  out.levels = mine.levels;
  if (target != nullptr) {
    for (const Value& level : target->levels) {
      if (place_of(out.levels, level) == out.levels.size()) {
        out.levels.push_back(level);
      }
    }
  }
  if (out.levels.size() > mine.levels.size() && ordered_numbers(out)) {
    std::sort(out.levels.begin(), out.levels.end(), [](const Value& a, const Value& b) {
      return as_number(a) < as_number(b);
    });
  }
  return out;
}

std::vector<std::size_t> spread(std::size_t count, std::size_t most) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < std::min(count, most); ++i) {
    out.push_back(count <= most ? i : i * count / most);
  }
  return out;
}

}  // namespace

struct WarmPrior::Source {
  // How a template of the target is seen by the source.
  struct Match {
    std::uint32_t own = 0;                          // its template
    std::vector<int> axis;                          // of the target, for each own one; -1: none
    std::vector<std::vector<std::uint16_t>> level;  // of its own, for each of the target's
    std::vector<std::uint16_t> fixed;               // where it has no axis there
  };

  Source(const SearchSpace& target, WarmSource&& given, Executor& executor_in);
  void match(const SearchSpace& target, const WarmSource& given);
  void take_rows(const WarmSource& given);
  Point project(const Match& match, const Point& point) const;
  std::optional<Point> back(const Point& own_point) const;
  WorldModel& fitted() const;

  std::string name;
  bool usable = false;
  double best = 0.0, range = kLeastRange;
  Executor* executor;
  const SearchSpace* target_space;
  SearchSpace own;                            // without restrictions
  std::vector<std::vector<Axis>> given_axes;  // before levels were joined
  std::vector<std::optional<Match>> matches;  // by template of the target
  PointTable points;                          // rows, as points of `own`
  std::vector<std::optional<double>> slow;    // of each; absent: it failed
  std::vector<std::uint32_t> by_cost;         // valid rows, best first
  mutable std::unique_ptr<WorldModel> model;  // made when first needed
};

WarmPrior::Source::Source(const SearchSpace& target, WarmSource&& given, Executor& executor_in)
    : name(std::move(given.name)), executor(&executor_in), target_space(&target) {
  match(target, given);
  if (usable) {
    take_rows(given);
  }
}

void WarmPrior::Source::match(const SearchSpace& target, const WarmSource& given) {
  const bool alone = target.size() == 1 && given.templates.size() == 1;
  for (const WarmTemplate& one : given.templates) {
    const auto named = std::find_if(target.begin(), target.end(), [&](const TemplateSpace& t) {
      return alone || t.name == one.name;
    });
    TemplateSpace& space = own.emplace_back();
    space.name = one.name;
    std::vector<Axis> axes;
    for (const WarmAxis& axis : one.axes) {
      const auto at = named != target.end() ? named->space.find(axis.name) : std::nullopt;
      axes.push_back(joined(axis, at ? &named->space.axis(*at) : nullptr));
    }
    auto made = AxisSpace::create(std::move(axes), {});
    if (made.ok()) {
      space.space = std::move(*made);
    }
  }
  for (const TemplateSpace& t : target) {
    std::optional<Match>& found = matches.emplace_back();
    for (std::uint32_t i = 0; i < own.size() && !found; ++i) {
      if (!(alone || own[i].name == t.name) || own[i].space.size() == 0) {
        continue;
      }
      Match match;
      match.own = i;
      bool varies = false;
      for (const Axis& axis : own[i].space.axes()) {
        const auto at = t.space.find(axis.name);
        match.axis.push_back(at ? static_cast<int>(*at) : -1);
        std::vector<std::uint16_t>& levels = match.level.emplace_back();
        for (std::size_t l = 0; at && l < t.space.axis(*at).levels.size(); ++l) {
          levels.push_back(place_of(axis.levels, t.space.axis(*at).levels[l]));
        }
        varies = varies || levels.size() > 1;
      }
      if (varies) {
        match.fixed.assign(own[i].space.size(), 0);
        found = std::move(match);
        usable = true;
      }
    }
  }
}

void WarmPrior::Source::take_rows(const WarmSource& given) {
  best = *best_log_cost(given);
  for (std::uint32_t t = 0; t < given.templates.size(); ++t) {
    const WarmTemplate& one = given.templates[t];
    std::vector<std::vector<std::uint16_t>> moved;
    for (std::size_t a = 0; a < one.axes.size(); ++a) {
      std::vector<std::uint16_t>& levels = moved.emplace_back();
      for (const Value& level : one.axes[a].levels) {
        levels.push_back(place_of(own[t].space.axis(a).levels, level));
      }
    }
    for (const WarmRow& row : one.rows) {
      Point point{t, Genome{row.levels}};
      for (std::size_t a = 0; a < moved.size(); ++a) {
        point.genome.levels[a] = moved[a][row.levels[a]];
      }
      if (points.add(point) == slow.size()) {  // the first of equal rows counts
        slow.push_back(row.log_cost ? std::optional(*row.log_cost - best) : std::nullopt);
      }
    }
  }
  for (std::uint32_t i = 0; i < slow.size(); ++i) {
    if (slow[i]) {
      by_cost.push_back(i);
    }
  }
  std::sort(by_cost.begin(), by_cost.end(), [&](std::uint32_t a, std::uint32_t b) {
    return *slow[a] != *slow[b] ? *slow[a] < *slow[b] : a < b;
  });
  range = std::max(2.0 * *slow[by_cost[by_cost.size() / 2]], kLeastRange);
  for (std::optional<double>& one : slow) {
    one = one ? std::optional(std::min(*one, range)) : one;
  }
  for (std::optional<Match>& match : matches) {
    for (const std::uint32_t row : by_cost) {
      if (match && points.point(row).template_index == match->own) {
        match->fixed = points.point(row).genome.levels;
        break;
      }
    }
  }
}

Point WarmPrior::Source::project(const Match& match, const Point& point) const {
  Point out{match.own, Genome{match.fixed}};
  for (std::size_t a = 0; a < match.axis.size(); ++a) {
    if (match.axis[a] >= 0) {
      const auto axis = static_cast<std::size_t>(match.axis[a]);
      out.genome.levels[a] = match.level[a][point.genome.levels[axis]];
    }
  }
  return out;
}

// A row as a point of the target; nothing where the target lacks the template or a level.
std::optional<Point> WarmPrior::Source::back(const Point& own_point) const {
  for (std::uint32_t t = 0; t < matches.size(); ++t) {
    if (!matches[t] || matches[t]->own != own_point.template_index) {
      continue;
    }
    const Match& match = *matches[t];
    const AxisSpace& space = (*target_space)[t].space;
    Point out{t, space.default_genome()};
    bool whole = true;
    for (std::size_t a = 0; a < match.axis.size(); ++a) {
      if (match.axis[a] < 0) {
        continue;
      }
      const auto& levels = match.level[a];
      const auto at = std::find(levels.begin(), levels.end(), own_point.genome.levels[a]);
      whole = whole && at != levels.end();
      out.genome.levels[static_cast<std::size_t>(match.axis[a])] =
          static_cast<std::uint16_t>(whole ? at - levels.begin() : 0);
    }
    if (whole) {
      out.genome = space.canonical(std::move(out.genome));
      return out;
    }
  }
  return std::nullopt;
}

// The best half of what fits and the rest evenly by rank, then failures; fitted a few times only.
WorldModel& WarmPrior::Source::fitted() const {
  if (model) {
    return *model;
  }
  ModelTuning tuning;
  tuning.refit_growth = 4.0;
  tuning.fit_rows = 96;
  tuning.most_rows = kModelValid;
  model = std::make_unique<WorldModel>(own, 0, *executor, tuning);
  std::vector<std::uint32_t> rows;
  const std::size_t first = std::min(by_cost.size(), kModelValid / 2);
  rows.insert(rows.end(), by_cost.begin(), by_cost.begin() + static_cast<std::ptrdiff_t>(first));
  for (const std::size_t i : spread(by_cost.size() - first, kModelValid - first)) {
    rows.push_back(by_cost[first + i]);
  }
  std::vector<std::uint32_t> failed;
  for (std::uint32_t i = 0; i < slow.size(); ++i) {
    if (!slow[i]) {
      failed.push_back(i);
    }
  }
  for (const std::size_t i : spread(failed.size(), kModelFailed)) {
    rows.push_back(failed[i]);
  }
  std::sort(rows.begin(), rows.end());
  // Fast and slow ones mixed, so that early fits see both.
  Rng rng = stream(0, "warm_rows", rows.size());
  rng.shuffle(rows);
  for (const std::uint32_t row : rows) {
    Observation observation;
    observation.point = points.point(row);
    observation.valid = slow[row].has_value();
    observation.log_cost = slow[row].value_or(0.0);
    model->observe(observation);
  }
  return *model;
}

WarmPrior::WarmPrior(const SearchSpace& space, std::vector<WarmSource> sources, Executor& executor)
    : space_(&space) {
  for (WarmSource& source : sources) {
    sources_.push_back(std::make_unique<Source>(space, std::move(source), executor));
  }
}
WarmPrior::WarmPrior(WarmPrior&&) noexcept = default;
WarmPrior& WarmPrior::operator=(WarmPrior&&) noexcept = default;
WarmPrior::~WarmPrior() = default;

std::size_t WarmPrior::size() const {
  return sources_.size();
}

const std::string& WarmPrior::name(std::size_t source) const {
  return sources_[source]->name;
}

bool WarmPrior::usable(std::size_t source) const {
  return sources_[source]->usable;
}

double WarmPrior::ceiling(std::size_t source) const {
  return sources_[source]->range;
}

std::vector<Hearsay> WarmPrior::ask(std::span<const Point> asked) const {
  std::vector<Hearsay> out(asked.size() * sources_.size());
  for (std::size_t s = 0; s < sources_.size(); ++s) {
    const Source& source = *sources_[s];
    std::vector<Point> unknown;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < asked.size(); ++i) {
      Hearsay& said = out[i * sources_.size() + s];
      said.slow = 0.5 * source.range;  // nothing is known: as slow as its median
      const auto& match = source.usable ? source.matches[asked[i].template_index] : std::nullopt;
      if (!match) {
        continue;
      }
      Point own = source.project(*match, asked[i]);
      const std::uint32_t row = source.points.find(own);
      if (row == PointTable::kNone) {
        unknown.push_back(std::move(own));
        places.push_back(i * sources_.size() + s);
      } else {
        said.slow = source.slow[row].value_or(source.range);
        said.fails = source.slow[row] ? 0.0 : 1.0;
      }
    }
    if (unknown.empty()) {
      continue;
    }
    const WorldModel& model = source.fitted();
    const std::vector<Belief> beliefs = model.predict(unknown);
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (model.ready()) {
        out[places[i]].slow = std::clamp(beliefs[i].mean, 0.0, source.range);
      }
      out[places[i]].fails = 1.0 - beliefs[i].p_valid;
    }
  }
  return out;
}

std::vector<Point> WarmPrior::cross_section(std::size_t limit) const {
  std::vector<Point> out;
  for (const auto& source : sources_) {
    for (const std::size_t rank : spread(source->by_cost.size(), limit / sources_.size())) {
      if (auto point = source->back(source->points.point(source->by_cost[rank]))) {
        out.push_back(std::move(*point));
      }
    }
  }
  return out;
}

std::vector<Point> WarmPrior::favourites(std::size_t limit) const {
  std::vector<Point> out;
  std::size_t longest = 0;
  for (const auto& source : sources_) {
    longest = std::max(longest, source->by_cost.size());
  }
  for (std::size_t rank = 0; rank < longest && out.size() < limit; ++rank) {
    for (const auto& source : sources_) {
      if (rank < source->by_cost.size() && out.size() < limit) {
        auto point = source->back(source->points.point(source->by_cost[rank]));
        if (point && std::find(out.begin(), out.end(), *point) == out.end()) {
          out.push_back(std::move(*point));
        }
      }
    }
  }
  return out;
}

}  // namespace coppice::planner
