// Enumerates small spaces, tabulates precision classes, and reads signatures.
#include "search/domain.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace coppice::search {
namespace {

constexpr std::size_t kMostListed = 200000;

Error config_error(std::string message) {
  return Error{ErrorCode::config, std::move(message)};
}

}  // namespace

Result<Domain> Domain::create(SearchSpace space, std::vector<std::string> classes) {
  Domain domain;
  if (space.empty()) {
    return config_error("search space: expected at least one template, found none");
  }
  std::set<std::string> names;
  for (const TemplateSpace& entry : space) {
    if (!names.insert(entry.name).second) {
      return config_error("search space: expected distinct templates, found \"" + entry.name +
                          "\" twice");
    }
  }
  if (classes.empty()) {
    classes.push_back("");
  }
  domain.space_ = std::make_shared<const SearchSpace>(std::move(space));
  domain.classes_ = std::move(classes);
  domain.templates_.resize(domain.space_->size());
  for (const TemplateSpace& entry : *domain.space_) {
    domain.walkers_.push_back(std::make_shared<const SpaceWalker>(entry.space));
  }
  std::string reasons;
  bool any = false;
  for (std::uint32_t t = 0; t < domain.templates_.size(); ++t) {
    COPPICE_TRY_VOID(domain.tabulate_precision(t));
    COPPICE_TRY_VOID(domain.list_points(t));
    const std::string& hopeless = domain.templates_[t].hopeless;
    any = any || hopeless.empty();
    reasons += hopeless.empty() ? "" : "; " + (*domain.space_)[t].name + ": " + hopeless;
  }
  if (!any) {
    return config_error("search space: nothing to search" + reasons);
  }
  return domain;
}

Result<void> Domain::grow(TemplateSpace added) {
  if (find_template(added.name)) {
    return config_error("search space: there is a template \"" + added.name + "\" already");
  }
  Domain larger = *this;
  SearchSpace space = *space_;
  space.push_back(std::move(added));
  larger.before_.push_back(space_);
  larger.space_ = std::make_shared<const SearchSpace>(std::move(space));
  larger.templates_.emplace_back();
  larger.walkers_.clear();
  for (const TemplateSpace& entry : *larger.space_) {
    larger.walkers_.push_back(std::make_shared<const SpaceWalker>(entry.space));
  }
  const auto last = static_cast<std::uint32_t>(larger.templates_.size() - 1);
  COPPICE_TRY_VOID(larger.tabulate_precision(last));
  COPPICE_TRY_VOID(larger.list_points(last));
  if (!larger.templates_.back().hopeless.empty()) {
    return config_error("search space: " + larger.templates_.back().hopeless);
  }
  *this = std::move(larger);
  return {};
}

bool Domain::can_grow(const TemplateSpace& added) const {
  Domain larger = *this;
  return larger.grow(added).ok();
}

Result<void> Domain::tabulate_precision(std::uint32_t t) {
  const TemplateSpace& entry = (*space_)[t];
  Precision& precision = templates_[t].precision;
  if (!entry.precision) {
    precision.table = {0};
    return {};
  }
  const std::string place = "template " + entry.name + ": precision";
  std::uint64_t combinations = 1;
  for (const std::string& name : entry.precision->names()) {
    if (const auto axis = entry.space.find(name)) {
      precision.axes.push_back(*axis);
      precision.strides.push_back(combinations);
      combinations *= entry.space.axis(*axis).levels.size();
      if (combinations > 1000000) {
        return config_error(place + ": depends on more than a million combinations of levels");
      }
    }
  }
  for (std::uint64_t code = 0; code < combinations; ++code) {
    ValueMap values = entry.space.constants();
    for (std::size_t i = 0; i < precision.axes.size(); ++i) {
      const Axis& axis = entry.space.axis(precision.axes[i]);
      values.insert_or_assign(axis.name,
                              axis.levels[code / precision.strides[i] % axis.levels.size()]);
    }
    COPPICE_TRY(const Value value, entry.precision->evaluate(values).within(place));
    const auto found = std::find(classes_.begin(), classes_.end(), coppice::to_text(value));
    precision.table.push_back(found == classes_.end() ? -1
                                                      : static_cast<int>(found - classes_.begin()));
  }
  return {};
}

Result<void> Domain::list_points(std::uint32_t t) {
  const AxisSpace& space = axes(t);
  Entry& entry = templates_[t];
  for (std::size_t i = 0; i < space.size(); ++i) {
    if (space.axis(i).structural) {
      entry.structural.push_back(i);
    }
  }
  entry.points = walker(t).enumerate(kMostListed);
  if (!entry.points) {
    Rng rng = stream(0, "domain", t);
    bool found = false;
    for (int i = 0; i < 32 && !found; ++i) {
      const auto genome = walker(t).sample(rng);
      found = genome && class_of({t, *genome});
    }
    entry.hopeless = found ? "" : "no valid point of a permitted precision class was found";
    return {};
  }
  const std::size_t valid = entry.points->size();
  std::erase_if(*entry.points, [&](const Genome& genome) { return !class_of({t, genome}); });
  if (entry.points->empty()) {
    entry.hopeless = valid == 0 ? "no combination of levels satisfies the restrictions"
                                : "no point is of a permitted precision class";
  }
  return {};
}

std::optional<std::uint32_t> Domain::find_template(std::string_view name) const {
  for (std::uint32_t t = 0; t < space_->size(); ++t) {
    if ((*space_)[t].name == name) {
      return t;
    }
  }
  return std::nullopt;
}

const std::vector<Genome>* Domain::listed(std::uint32_t t) const {
  return templates_[t].points ? &*templates_[t].points : nullptr;
}

std::optional<std::uint32_t> Domain::place(std::uint32_t t, const Genome& genome) const {
  const std::vector<Genome>* points = listed(t);
  if (points == nullptr) {
    return std::nullopt;
  }
  const auto found = std::lower_bound(points->begin(), points->end(), genome);
  if (found == points->end() || *found != genome) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(found - points->begin());
}

std::optional<std::size_t> Domain::class_of(const Point& point) const {
  const Precision& precision = templates_[point.template_index].precision;
  std::uint64_t code = 0;
  for (std::size_t i = 0; i < precision.axes.size(); ++i) {
    code += precision.strides[i] * point.genome.levels[precision.axes[i]];
  }
  const int found = precision.table[code];
  return found < 0 ? std::nullopt : std::optional<std::size_t>(static_cast<std::size_t>(found));
}

bool Domain::permitted(const Point& point) const {
  if (point.template_index >= space_->size() ||
      point.genome.levels.size() != axes(point.template_index).size()) {
    return false;
  }
  for (std::size_t i = 0; i < point.genome.levels.size(); ++i) {
    if (point.genome.levels[i] >= axes(point.template_index).axis(i).levels.size()) {
      return false;
    }
  }
  if (listed(point.template_index) != nullptr) {
    return place(point.template_index, point.genome).has_value();
  }
  return axes(point.template_index).valid(point.genome) && class_of(point);
}

Signature Domain::signature(const Point& point) const {
  Signature out{point.template_index};
  for (const std::size_t axis : structural(point.template_index)) {
    out.push_back(point.genome.levels[axis]);
  }
  return out;
}

Result<std::vector<Pin>> Domain::pins(std::uint32_t t, const ValueMap& fixed) const {
  const AxisSpace& space = axes(t);
  std::vector<Pin> out;
  for (std::size_t i = 0; i < space.size(); ++i) {
    const Axis& axis = space.axis(i);
    const auto wanted = fixed.find(axis.name);
    if (wanted == fixed.end()) {
      continue;
    }
    const auto level = std::find(axis.levels.begin(), axis.levels.end(), wanted->second);
    if (level == axis.levels.end()) {
      return config_error(fmt::format("axis {}: expected one of its levels, found {}",
                                      axis.name,
                                      coppice::to_text(wanted->second)));
    }
    out.push_back({i, static_cast<std::uint16_t>(level - axis.levels.begin())});
  }
  if (out.size() != fixed.size()) {
    return config_error("a fixed axis is unknown to template " + (*space_)[t].name);
  }
  return out;
}

}  // namespace coppice::search
