// The fold behind the frontier: tallies by level and pair, and gains asked from the world model.
#include "planner/frontier.h"

#include "core/check.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace coppice::planner {

namespace {

constexpr std::int64_t kDeadWithoutSuccess = 6;  // attempts
constexpr std::int64_t kDeadWhenSlow = 12;
constexpr double kNeverClose = 0.7;  // log cost behind the best: twice as slow
constexpr std::uint64_t kEnumerate = 200000;
constexpr int kRandomPoints = 2;

bool counts(const Observation& observation) {
  return observation.valid || (observation.failure != FailureClass::infrastructure &&
                               observation.failure != FailureClass::duplicate);
}

}  // namespace

std::string_view to_text(LevelState state) {
  switch (state) {
    case LevelState::untried:
      return "untried";
    case LevelState::tried:
      return "tried";
    case LevelState::infeasible:
      return "infeasible";
    case LevelState::dead:
      return "dead";
  }
  COPPICE_UNREACHABLE();
}

Frontier::Frontier(const SearchSpace& space) : space_(&space) {
  for (std::uint32_t t = 0; t < space.size(); ++t) {
    TemplateFrontier& one = templates_.emplace_back();
    std::uint32_t id = 0;
    for (std::size_t a = 0; a < space[t].space.size(); ++a) {
      one.first_id.push_back(id);
      std::vector<LevelRecord>& levels = one.records.emplace_back();
      for (std::size_t l = 0; l < space[t].space.axis(a).levels.size(); ++l, ++id) {
        LevelRecord record;
        record.template_index = t;
        record.axis = a;
        record.level = l;
        levels.push_back(record);
      }
    }
    one.walker = std::make_unique<SpaceWalker>(space[t].space);
    Rng rng = stream(0, "frontier", t);
    for (int i = 0; i < kRandomPoints; ++i) {
      if (auto genome = one.walker->sample(rng)) {
        one.random.push_back(std::move(*genome));
      }
    }
  }
}

LevelState Frontier::judge(const LevelRecord& record) const {
  if (record.attempts == 0) {
    return record.state == LevelState::infeasible ? LevelState::infeasible : LevelState::untried;
  }
  if (record.valid == 0) {
    return record.attempts >= kDeadWithoutSuccess ? LevelState::dead : LevelState::tried;
  }
  const bool far = *record.best_log_cost > *best_log_cost_ + kNeverClose;
  return far && record.attempts >= kDeadWhenSlow ? LevelState::dead : LevelState::tried;
}

void Frontier::rejudge() {
  for (TemplateFrontier& one : templates_) {
    for (std::vector<LevelRecord>& levels : one.records) {
      for (LevelRecord& record : levels) {
        record.state = judge(record);
      }
    }
  }
}

void Frontier::observe(const Observation& observation) {
  if (!counts(observation)) {
    return;
  }
  const Point& point = observation.point;
  TemplateFrontier& one = templates_[point.template_index];
  const AxisSpace& space = (*space_)[point.template_index].space;
  std::vector<std::uint32_t> ids;
  std::vector<LevelRecord*> touched;
  for (std::size_t a = 0; a < space.size(); ++a) {
    if (space.axis(a).when && !space.active(point.genome, a)) {
      continue;  // it stands at its default, which says nothing about the default
    }
    LevelRecord& record = one.records[a][point.genome.levels[a]];
    ++record.attempts;
    if (observation.valid) {
      ++record.valid;
      record.best_log_cost =
          std::min(record.best_log_cost.value_or(observation.log_cost), observation.log_cost);
    }
    touched.push_back(&record);
    ids.push_back(one.first_id[a] + point.genome.levels[a]);
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      one.pairs.insert((static_cast<std::uint64_t>(ids[j]) << 32U) | ids[i]);
    }
  }
  if (observation.valid && (!one.best || observation.log_cost < one.best_log_cost)) {
    one.best = point.genome;
    one.best_log_cost = observation.log_cost;
  }
  if (observation.valid && (!best_log_cost_ || observation.log_cost < *best_log_cost_)) {
    best_log_cost_ = observation.log_cost;
    rejudge();
  } else {
    for (LevelRecord* record : touched) {
      record->state = judge(*record);
    }
  }
}

void Frontier::mark_infeasible() {
  for (TemplateFrontier& one : templates_) {
    const auto count = one.walker->count();
    std::vector<Genome> all;
    if (count && *count <= kEnumerate) {
      all = one.walker->enumerate(kEnumerate).value_or(std::vector<Genome>());
    }
    std::vector<std::vector<bool>> seen;
    for (const std::vector<LevelRecord>& levels : one.records) {
      seen.emplace_back(levels.size(), false);
    }
    for (const Genome& genome : all) {
      for (std::size_t a = 0; a < seen.size(); ++a) {
        seen[a][genome.levels[a]] = true;
      }
    }
    const bool complete = count && *count <= kEnumerate;
    for (std::vector<LevelRecord>& levels : one.records) {
      for (LevelRecord& record : levels) {
        const bool possible = complete
                                  ? seen[record.axis][record.level]
                                  : one.walker->possible(record.axis, record.level).value_or(true);
        if (!possible && record.attempts == 0) {
          record.state = LevelState::infeasible;
        }
      }
    }
  }
}

const LevelRecord& Frontier::level(std::uint32_t template_index,
                                   std::size_t axis,
                                   std::size_t level) const {
  return templates_[template_index].records[axis][level];
}

std::vector<LevelRecord> Frontier::levels() const {
  std::vector<LevelRecord> out;
  for (const TemplateFrontier& one : templates_) {
    for (const std::vector<LevelRecord>& levels : one.records) {
      out.insert(out.end(), levels.begin(), levels.end());
    }
  }
  return out;
}

std::vector<LevelRecord> Frontier::untried() const {
  std::vector<LevelRecord> out;
  for (const LevelRecord& record : levels()) {
    if (record.state == LevelState::untried) {
      out.push_back(record);
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const LevelRecord& a, const LevelRecord& b) {
    return a.expected_gain > b.expected_gain;
  });
  return out;
}

bool Frontier::pair_tried(std::uint32_t template_index,
                          std::size_t axis_a,
                          std::size_t level_a,
                          std::size_t axis_b,
                          std::size_t level_b) const {
  COPPICE_CHECK(axis_a != axis_b);
  const TemplateFrontier& one = templates_[template_index];
  const std::uint64_t a = one.first_id[axis_a] + level_a;
  const std::uint64_t b = one.first_id[axis_b] + level_b;
  return one.pairs.contains((std::min(a, b) << 32U) | std::max(a, b));
}

std::size_t Frontier::pairs_tried(std::uint32_t template_index) const {
  return templates_[template_index].pairs.size();
}

std::vector<Genome> Frontier::near(const TemplateFrontier& one,
                                   std::size_t axis,
                                   std::size_t level) const {
  const AxisSpace& space = one.walker->space();
  std::vector<Genome> from = one.random;
  from.push_back(space.default_genome());
  if (one.best) {
    from.push_back(*one.best);
  }
  std::vector<Genome> out;
  const std::size_t pins[] = {axis};
  for (Genome& genome : from) {
    genome.levels[axis] = static_cast<std::uint16_t>(level);
    if (one.walker->valid(genome)) {
      out.push_back(std::move(genome));
      continue;
    }
    Rng rng = stream(1, "frontier", axis * 65536 + level);
    if (auto repaired = one.walker->repair(genome, pins, rng)) {
      out.push_back(std::move(*repaired));
    }
  }
  return out;
}

void Frontier::refresh(const WorldModel& model, double best) {
  std::vector<Point> points;
  std::vector<LevelRecord*> owners;
  for (std::uint32_t t = 0; t < templates_.size(); ++t) {
    for (std::vector<LevelRecord>& levels : templates_[t].records) {
      for (LevelRecord& record : levels) {
        record.expected_gain = 0.0;
        if (record.state == LevelState::infeasible || levels.size() < 2) {
          continue;
        }
        for (Genome& genome : near(templates_[t], record.axis, record.level)) {
          points.push_back(Point{t, std::move(genome)});
          owners.push_back(&record);
        }
      }
    }
  }
  const std::vector<Belief> beliefs = model.predict(points);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double gain = WorldModel::expected_gain(beliefs[i], best);
    owners[i]->expected_gain = std::max(owners[i]->expected_gain, gain);
  }
}

}  // namespace coppice::planner
