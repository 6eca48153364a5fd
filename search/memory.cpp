// Folds warm-start data into dead ends.
#include "search/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace coppice::search {
namespace {

constexpr std::int64_t kDeadRows = 5;      // of one log, before it shows anything
constexpr std::size_t kMostDeadEnds = 32;  // that are kept
constexpr std::string_view kMaturities[] = {"tentative", "confirmed", "established"};

// How the axes of a log's template read in the searched space.
struct Reading {
  std::vector<std::size_t> axis;                                 // by axis of the log
  std::vector<std::vector<std::optional<std::uint16_t>>> level;  // by axis and level of the log
};

std::optional<Reading> reading_of(const planner::WarmTemplate& given, const AxisSpace& space) {
  Reading out;
  for (const planner::WarmAxis& axis : given.axes) {
    const auto own = space.find(axis.name);
    if (!own) {
      return std::nullopt;
    }
    out.axis.push_back(*own);
    std::vector<std::optional<std::uint16_t>>& levels = out.level.emplace_back();
    for (const Value& value : axis.levels) {
      const auto& known = space.axis(*own).levels;
      const auto found = std::find(known.begin(), known.end(), value);
      levels.push_back(found == known.end()
                           ? std::nullopt
                           : std::optional(static_cast<std::uint16_t>(found - known.begin())));
    }
  }
  return out;
}

// What the logs say of one level.
struct Tale {
  std::int64_t attempts = 0;
  int logs = 0;  // that tried it often
  bool alive = false;
  std::string evidence;
  std::map<std::size_t, std::set<std::uint16_t>> company;  // levels of other axes
};
using Tales = std::map<std::pair<std::size_t, std::uint16_t>, Tale>;

void read_rows(const planner::WarmTemplate& given,
               const Reading& reading,
               const std::string& log,
               Tales& tales) {
  std::map<std::pair<std::size_t, std::uint16_t>, std::int64_t> counts;
  for (const planner::WarmRow& row : given.rows) {
    std::map<std::size_t, std::uint16_t> levels;
    for (std::size_t a = 0; a < reading.axis.size(); ++a) {
      if (const auto level = reading.level[a][row.levels[a]]) {
        levels.emplace(reading.axis[a], *level);
      }
    }
    for (const auto& [axis, level] : levels) {
      Tale& tale = tales[{axis, level}];
      tale.alive = tale.alive || row.log_cost.has_value();
      if (tale.alive) {
        continue;
      }
      ++counts[{axis, level}];
      for (const auto& [other, at] : levels) {
        if (other != axis) {
          tale.company[other].insert(at);
        }
      }
    }
  }
  for (const auto& [key, count] : counts) {
    Tale& tale = tales[key];
    tale.attempts += count;
    if (count >= kDeadRows) {
      ++tale.logs;
      tale.evidence += fmt::format(
          "{}{} of {}", tale.evidence.empty() ? "" : ", ", count, log.empty() ? "a log" : log);
    }
  }
}

bool holds(const DeadEnd& fact, std::uint32_t t, const Genome& genome) {
  if (fact.template_index != t || genome.levels[fact.axis] != fact.level) {
    return false;
  }
  return std::all_of(fact.prerequisites.begin(), fact.prerequisites.end(), [&](const auto& other) {
    return genome.levels[other.first] == other.second;
  });
}

}  // namespace

std::string_view to_text(Maturity maturity) {
  return kMaturities[static_cast<std::size_t>(maturity)];
}

Memory::Memory(const SearchSpace& space, const std::vector<planner::WarmSource>& sources) {
  if (sources.empty()) {
    return;
  }
  for (std::uint32_t t = 0; t < space.size(); ++t) {
    defaults_.push_back(space[t].space.canonical(space[t].space.default_genome()));
    gather(space, t, sources);
  }
  std::stable_sort(facts_.begin(), facts_.end(), [](const DeadEnd& a, const DeadEnd& b) {
    return a.maturity != b.maturity ? a.maturity > b.maturity : a.attempts > b.attempts;
  });
  facts_.resize(std::min(facts_.size(), kMostDeadEnds));
}

void Memory::gather(const SearchSpace& space,
                    std::uint32_t t,
                    const std::vector<planner::WarmSource>& sources) {
  Tales tales;
  for (const planner::WarmSource& source : sources) {
    for (const planner::WarmTemplate& given : source.templates) {
      const bool alone = space.size() == 1 && source.templates.size() == 1;
      if (given.name != space[t].name && !alone) {
        continue;
      }
      if (const auto reading = reading_of(given, space[t].space)) {
        read_rows(given, *reading, source.name, tales);
      }
    }
  }
  for (const auto& [key, tale] : tales) {
    if (tale.alive || tale.logs == 0) {
      continue;
    }
    DeadEnd fact;
    fact.template_index = t;
    fact.axis = key.first;
    fact.level = key.second;
    fact.attempts = tale.attempts;
    fact.evidence = tale.evidence;
    fact.maturity = tale.logs >= 3   ? Maturity::established
                    : tale.logs == 2 ? Maturity::confirmed
                                     : Maturity::tentative;
    for (const auto& [axis, levels] : tale.company) {
      if (levels.size() == 1) {
        fact.prerequisites.emplace_back(axis, *levels.begin());
      }
    }
    facts_.push_back(std::move(fact));
  }
}

bool Memory::avoids(std::uint32_t template_index, const Genome& genome) const {
  if (facts_.empty() || genome == defaults_[template_index]) {
    return false;
  }
  return std::any_of(facts_.begin(), facts_.end(), [&](const DeadEnd& fact) {
    return fact.maturity != Maturity::tentative && holds(fact, template_index, genome);
  });
}

std::vector<DeadEnd> Memory::contradicted(std::uint32_t template_index, const Genome& genome) {
  std::vector<DeadEnd> out;
  std::erase_if(facts_, [&](const DeadEnd& fact) {
    if (!holds(fact, template_index, genome)) {
      return false;
    }
    out.push_back(fact);
    return true;
  });
  return out;
}

}  // namespace coppice::search
