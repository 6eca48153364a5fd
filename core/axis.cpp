// AxisSpace: restrictions bound to axis positions once, so that judging a genome is cheap.
#include "core/axis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace coppice {

// An expression with each of its names resolved: an axis, or a constant kept here.
struct AxisSpace::Bound {
  Expr expr;
  bool always = false;            // a `when` that is absent
  std::vector<int> axis_of_slot;  // -1: constant
  std::vector<Value> constant_of_slot;
  std::vector<ExprRange> range_of_slot;  // of an axis's levels
};

namespace {

constexpr std::size_t kFewSlots = 16;

// Room for the pointers of one evaluation; the heap only for unusually wide expressions.
class SlotPointers {
 public:
  explicit SlotPointers(std::size_t count) : count_(count) {
    if (count > kFewSlots) {
      many_.resize(count);
    }
  }
  const Value** data() { return count_ > kFewSlots ? many_.data() : few_.data(); }
  std::span<const Value* const> span() { return {data(), count_}; }

 private:
  std::size_t count_;
  std::array<const Value*, kFewSlots> few_;
  std::vector<const Value*> many_;
};

Error space_error(const std::string& message) {
  return Error{ErrorCode::config, message};
}

// 16 and 16.0 are the same level.
Value level_identity(const Value& level) {
  constexpr double kExact = 9007199254740992.0;
  const auto* real = std::get_if<double>(&level);
  if (real != nullptr && *real == std::floor(*real) && std::fabs(*real) <= kExact) {
    return static_cast<std::int64_t>(*real);
  }
  return level;
}

// The numbers among which an axis chooses; none when a level is text.
ExprRange range_of(const Axis& axis) {
  ExprRange range;
  for (const Value& level : axis.levels) {
    const auto* truth = std::get_if<bool>(&level);
    const auto* whole = std::get_if<std::int64_t>(&level);
    const auto* real = std::get_if<double>(&level);
    if (truth == nullptr && whole == nullptr && real == nullptr) {
      return {};
    }
    const double number = truth != nullptr   ? (*truth ? 1.0 : 0.0)
                          : whole != nullptr ? static_cast<double>(*whole)
                                             : *real;
    const bool first = range.low > range.high;
    range.low = first ? number : std::min(range.low, number);
    range.high = first ? number : std::max(range.high, number);
  }
  return range;
}

Result<void> check_axis(const Axis& axis) {
  const std::string where = "axis \"" + axis.name + "\": ";
  if (axis.name.empty()) {
    return space_error("an axis has no name");
  }
  if (axis.levels.empty()) {
    return space_error(where + "expected at least one level, found none");
  }
  if (axis.levels.size() > std::numeric_limits<std::uint16_t>::max()) {
    return space_error(where + "expected at most 65535 levels, found " +
                       std::to_string(axis.levels.size()));
  }
  std::set<Value> seen;
  for (const Value& level : axis.levels) {
    if (!seen.insert(level_identity(level)).second) {
      return space_error(where + "the level " + to_text(level) + " occurs twice");
    }
  }
  if (axis.default_level >= axis.levels.size()) {
    return space_error(where + "default level " + std::to_string(axis.default_level) +
                       " is out of range, there are " + std::to_string(axis.levels.size()));
  }
  const bool numbers = std::all_of(axis.levels.begin(), axis.levels.end(), [](const Value& v) {
    return std::holds_alternative<std::int64_t>(v) || std::holds_alternative<double>(v);
  });
  if (axis.type == AxisType::integer && !numbers) {
    return space_error(where + "an integer axis needs numbers as levels");
  }
  if (axis.type == AxisType::boolean && axis.levels.size() > 2) {
    return space_error(where + "a boolean axis has at most two levels, found " +
                       std::to_string(axis.levels.size()));
  }
  return {};
}

}  // namespace

Result<AxisSpace> AxisSpace::create(std::vector<Axis> axes,
                                    std::vector<Expr> restrictions,
                                    ValueMap constants) {
  AxisSpace space;
  std::map<std::string, std::size_t, std::less<>> position;
  for (const Axis& axis : axes) {
    COPPICE_TRY_VOID(check_axis(axis));
    if (!position.emplace(axis.name, position.size()).second) {
      return space_error("axis \"" + axis.name + "\" occurs twice");
    }
  }
  const auto bind =
      [&](const Expr& expr, std::size_t visible, const std::string& what) -> Result<Bound> {
    Bound bound{expr, false, {}, {}, {}};
    for (const std::string& name : expr.names()) {
      const auto axis = position.find(name);
      const auto constant = constants.find(name);
      if (axis != position.end() && axis->second >= visible) {
        return space_error(what + " \"" + expr.text() + "\" names \"" + name +
                           "\", which is not an earlier axis");
      }
      if (axis == position.end() && constant == constants.end()) {
        return space_error(what + " \"" + expr.text() + "\" names \"" + name +
                           "\", which is neither an axis nor a given constant");
      }
      const bool is_axis = axis != position.end();
      bound.axis_of_slot.push_back(is_axis ? static_cast<int>(axis->second) : -1);
      bound.range_of_slot.push_back(is_axis ? range_of(axes[axis->second]) : ExprRange());
      bound.constant_of_slot.push_back(is_axis ? Value(false) : constant->second);
    }
    return bound;
  };
  std::vector<Bound> bound_restrictions;
  for (const Expr& restriction : restrictions) {
    COPPICE_TRY(Bound bound, bind(restriction, axes.size(), "restriction"));
    bound_restrictions.push_back(std::move(bound));
  }
  std::vector<Bound> bound_when;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (!axes[i].when) {
      bound_when.push_back(Bound{Expr(), true, {}, {}, {}});
      continue;
    }
    COPPICE_TRY(Bound bound, bind(*axes[i].when, i, "axis \"" + axes[i].name + "\": when"));
    bound_when.push_back(std::move(bound));
  }
  space.axes_ = std::move(axes);
  space.restrictions_ = std::move(restrictions);
  space.constants_ = std::move(constants);
  space.bound_restrictions_ =
      std::make_shared<const std::vector<Bound>>(std::move(bound_restrictions));
  space.bound_when_ = std::make_shared<const std::vector<Bound>>(std::move(bound_when));
  return space;
}

Result<AxisSpace> AxisSpace::create_listed(std::vector<Axis> axes, std::vector<Genome> genomes) {
  COPPICE_TRY(AxisSpace space, create(std::move(axes), {}));
  std::sort(genomes.begin(), genomes.end());
  for (std::size_t i = 0; i < genomes.size(); ++i) {
    if (!space.valid(genomes[i])) {
      return space_error("a listed genome does not fit the axes");
    }
    if (i > 0 && genomes[i] == genomes[i - 1]) {
      return space_error("the genome " + space.describe(genomes[i]) + " is listed twice");
    }
  }
  space.listed_ = std::make_shared<const std::vector<Genome>>(std::move(genomes));
  return space;
}

std::optional<std::size_t> AxisSpace::find(std::string_view name) const {
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    if (axes_[i].name == name) {
      return i;
    }
  }
  return std::nullopt;
}

std::uint64_t AxisSpace::raw_size() const {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  std::uint64_t size = 1;
  for (const Axis& axis : axes_) {
    if (size > kMost / axis.levels.size()) {
      return kMost;
    }
    size *= axis.levels.size();
  }
  return size;
}

Genome AxisSpace::default_genome() const {
  Genome genome;
  for (const Axis& axis : axes_) {
    genome.levels.push_back(static_cast<std::uint16_t>(axis.default_level));
  }
  return genome;
}

Expr::Truth AxisSpace::judge(const Bound& bound, const Genome& genome, std::size_t known) const {
  SlotPointers slots(bound.axis_of_slot.size());
  for (std::size_t i = 0; i < bound.axis_of_slot.size(); ++i) {
    const int axis = bound.axis_of_slot[i];
    const auto a = static_cast<std::size_t>(axis);
    slots.data()[i] = axis < 0     ? &bound.constant_of_slot[i]
                      : a >= known ? nullptr
                                   : &axes_[a].levels[genome.levels[a]];
  }
  return bound.expr.judge(slots.span(), bound.range_of_slot);
}

bool AxisSpace::active(const Genome& genome, std::size_t axis) const {
  const Bound& when = (*bound_when_)[axis];
  return when.always || judge(when, genome, axis) == Expr::Truth::yes;
}

Genome AxisSpace::canonical(Genome genome) const {
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    if (axes_[i].when && !active(genome, i)) {
      genome.levels[i] = static_cast<std::uint16_t>(axes_[i].default_level);
    }
  }
  return genome;
}

bool AxisSpace::valid(const Genome& genome) const {
  if (genome.levels.size() != axes_.size()) {
    return false;
  }
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    if (genome.levels[i] >= axes_[i].levels.size()) {
      return false;
    }
    if (axes_[i].when && genome.levels[i] != axes_[i].default_level && !active(genome, i)) {
      return false;
    }
  }
  if (listed_ && !std::binary_search(listed_->begin(), listed_->end(), genome)) {
    return false;
  }
  return first_broken(genome) < 0;
}

int AxisSpace::first_broken(const Genome& genome) const {
  for (std::size_t i = 0; i < restrictions_.size(); ++i) {
    if (judge((*bound_restrictions_)[i], genome, axes_.size()) != Expr::Truth::yes) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

bool AxisSpace::holds_so_far(const Genome& genome,
                             std::size_t known,
                             std::size_t restriction) const {
  return judge((*bound_restrictions_)[restriction], genome, known) != Expr::Truth::no;
}

std::vector<std::size_t> AxisSpace::axes_of(const Bound& bound) {
  std::vector<std::size_t> out;
  for (const int axis : bound.axis_of_slot) {
    if (axis >= 0) {
      out.push_back(static_cast<std::size_t>(axis));
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::size_t> AxisSpace::axes_of_restriction(std::size_t restriction) const {
  return axes_of((*bound_restrictions_)[restriction]);
}

std::vector<std::size_t> AxisSpace::axes_of_when(std::size_t axis) const {
  return axes_of((*bound_when_)[axis]);
}

const Value& AxisSpace::value(const Genome& genome, std::size_t axis) const {
  return axes_[axis].levels[genome.levels[axis]];
}

ValueMap AxisSpace::values(const Genome& genome) const {
  ValueMap out;
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    out.emplace(axes_[i].name, value(genome, i));
  }
  return out;
}

Result<Genome> AxisSpace::genome(const ValueMap& values) const {
  Genome out = default_genome();
  for (const auto& [name, wanted] : values) {
    const auto axis = find(name);
    if (!axis) {
      return space_error("there is no axis \"" + name + "\"");
    }
    const std::vector<Value>& levels = axes_[*axis].levels;
    const auto level =
        std::find_if(levels.begin(), levels.end(), [&value = wanted](const Value& v) {
          return level_identity(v) == level_identity(value);
        });
    if (level == levels.end()) {
      std::string list;
      for (const Value& known : levels) {
        list += (list.empty() ? "" : ", ") + to_text(known);
      }
      return space_error("axis \"" + name + "\": expected one of " + list + ", found " +
                         to_text(wanted));
    }
    out.levels[*axis] = static_cast<std::uint16_t>(level - levels.begin());
  }
  return out;
}

std::string AxisSpace::describe(const Genome& genome) const {
  std::string out;
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    out += (i == 0 ? "" : " ") + axes_[i].name + "=" + to_text(value(genome, i));
  }
  return out;
}

std::string_view to_text(AxisType type) {
  switch (type) {
    case AxisType::integer:
      return "integer";
    case AxisType::ordinal:
      return "ordinal";
    case AxisType::categorical:
      return "categorical";
    case AxisType::boolean:
      return "boolean";
  }
  COPPICE_UNREACHABLE();
}

std::string_view to_text(AxisKind kind) {
  switch (kind) {
    case AxisKind::tile:
      return "tile";
    case AxisKind::stage:
      return "stage";
    case AxisKind::fusion:
      return "fusion";
    case AxisKind::precision:
      return "precision";
    case AxisKind::threads:
      return "threads";
    case AxisKind::vector:
      return "vector";
    case AxisKind::split:
      return "split";
    case AxisKind::layout:
      return "layout";
    case AxisKind::algorithm:
      return "algorithm";
    case AxisKind::other:
      return "other";
  }
  COPPICE_UNREACHABLE();
}

namespace {

template <class Enum, std::size_t N>
Result<Enum> from_text(std::string_view text, const Enum (&all)[N], std::string_view what) {
  std::string list;
  for (const Enum candidate : all) {
    if (to_text(candidate) == text) {
      return candidate;
    }
    list += (list.empty() ? "" : ", ") + std::string(to_text(candidate));
  }
  return Error{
      ErrorCode::config,
      "expected " + std::string(what) + " (" + list + "), found \"" + std::string(text) + "\""};
}

}  // namespace

Result<AxisType> axis_type(std::string_view text) {
  static constexpr AxisType kAll[] = {
      AxisType::integer, AxisType::ordinal, AxisType::categorical, AxisType::boolean};
  return from_text(text, kAll, "an axis type");
}

Result<AxisKind> axis_kind(std::string_view text) {
  static constexpr AxisKind kAll[] = {AxisKind::tile,
                                      AxisKind::stage,
                                      AxisKind::fusion,
                                      AxisKind::precision,
                                      AxisKind::threads,
                                      AxisKind::vector,
                                      AxisKind::split,
                                      AxisKind::layout,
                                      AxisKind::algorithm,
                                      AxisKind::other};
  return from_text(text, kAll, "an axis kind");
}

}  // namespace coppice
