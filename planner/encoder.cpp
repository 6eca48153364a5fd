// Works out scales once: which axes are logarithmic, which alignments matter, how wide features
// are.
#include "planner/encoder.h"

#include "core/check.h"
#include "core/pinned_math.h"
#include "core/space_walk.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

namespace coppice::planner {

namespace {

constexpr double kMiddle = 0.5;
constexpr int kFeatureSamples = 200;
constexpr double kLogRatio = 8.0;  // features that vary by more are seen on a logarithmic scale

std::optional<double> number(const Value& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    return static_cast<double>(*whole);
  }
  if (const auto* real = std::get_if<double>(&value)) {
    return *real;
  }
  if (const auto* truth = std::get_if<bool>(&value)) {
    return *truth ? 1.0 : 0.0;
  }
  return std::nullopt;
}

// Largest gap over mean gap: 1 for even spacing.
double unevenness(const std::vector<double>& sorted) {
  double widest = 0.0;
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    widest = std::max(widest, sorted[i] - sorted[i - 1]);
  }
  const double mean = (sorted.back() - sorted.front()) / static_cast<double>(sorted.size() - 1);
  return mean > 0.0 ? widest / mean : 1.0;
}

// Places of ordered levels on [0, 1].
std::vector<double> places(const std::vector<Value>& levels) {
  std::vector<double> linear;
  for (const Value& level : levels) {
    const auto n = number(level);
    linear.push_back(n.value_or(static_cast<double>(linear.size())));
  }
  const bool numbers = std::all_of(
      levels.begin(), levels.end(), [](const Value& v) { return number(v).has_value(); });
  if (!numbers) {
    for (std::size_t i = 0; i < linear.size(); ++i) {
      linear[i] = static_cast<double>(i);
    }
  }
  std::vector<double> sorted = linear;
  std::sort(sorted.begin(), sorted.end());
  if (sorted.front() > 0.0) {
    std::vector<double> logs = sorted;
    for (double& x : logs) {
      x = pinned::log(x);
    }
    if (unevenness(logs) < unevenness(sorted)) {
      for (double& x : linear) {
        x = pinned::log(x);
      }
      sorted = logs;
    }
  }
  const double span = sorted.back() - sorted.front();
  for (double& x : linear) {
    x = span > 0.0 ? (x - sorted.front()) / span : kMiddle;
  }
  return linear;
}

// How often 2 divides each level, as a share of the most: 48 is aligned to 16, 64 to 64. Hardware
// cares; nothing when the levels are powers of two anyway or are no whole numbers.
std::vector<double> alignments(const std::vector<Value>& levels) {
  std::vector<double> out;
  bool powers = true;
  for (const Value& level : levels) {
    const auto* whole = std::get_if<std::int64_t>(&level);
    if (whole == nullptr || *whole <= 0) {
      return {};
    }
    const int twos = __builtin_ctzll(static_cast<std::uint64_t>(*whole));
    powers = powers && (*whole >> twos) == 1;
    out.push_back(static_cast<double>(twos));
  }
  const double least = *std::min_element(out.begin(), out.end());
  const double most = *std::max_element(out.begin(), out.end());
  if (powers || most - least < 2.0) {
    return {};
  }
  for (double& x : out) {
    x = (x - least) / (most - least);
  }
  return out;
}

bool ordered(const Axis& axis) {
  return axis.type == AxisType::integer || axis.type == AxisType::ordinal;
}

}  // namespace

PointEncoder::PointEncoder(const SearchSpace& space) : space_(&space) {
  templates_.resize(space.size());
  add_template_coordinate();
  for (std::size_t t = 0; t < space.size(); ++t) {
    templates_[t].axes.resize(space[t].space.size());
  }
  std::vector<std::string> names;
  for (const TemplateSpace& one : space) {
    for (const Axis& axis : one.space.axes()) {
      if (std::find(names.begin(), names.end(), axis.name) == names.end()) {
        names.push_back(axis.name);
      }
    }
  }
  for (const std::string& name : names) {
    add_axis(name);
  }
  for (std::size_t t = 0; t < space.size(); ++t) {
    add_features(t);
  }
}

std::size_t PointEncoder::add_group(std::string name) {
  group_names_.push_back(std::move(name));
  return group_names_.size() - 1;
}

std::size_t PointEncoder::add_coordinate(std::size_t group) {
  group_.push_back(group);
  return group_.size() - 1;
}

// The template itself is an axis without order.
void PointEncoder::add_template_coordinate() {
  if (templates_.size() < 2) {
    return;
  }
  const std::size_t group = add_group("template");
  for (CodedTemplate& one : templates_) {
    one.always.push_back({add_coordinate(group), std::sqrt(0.5)});
  }
}

// All levels that an axis has in any template, so that equal values get equal places.
struct AllLevels {
  std::vector<Value> levels;
  bool in_order = true;
  bool everywhere = true;  // active in every template, always
};

static AllLevels all_levels(const SearchSpace& space, const std::string& name) {
  AllLevels all;
  for (const TemplateSpace& one : space) {
    const auto at = one.space.find(name);
    all.everywhere = all.everywhere && at && !one.space.axis(*at).when;
    if (!at) {
      continue;
    }
    all.in_order = all.in_order && ordered(one.space.axis(*at));
    for (const Value& level : one.space.axis(*at).levels) {
      if (std::find(all.levels.begin(), all.levels.end(), level) == all.levels.end()) {
        all.levels.push_back(level);
      }
    }
  }
  return all;
}

void PointEncoder::add_axis(const std::string& name) {
  const auto [levels, in_order, everywhere] = all_levels(*space_, name);
  std::vector<std::vector<Term>> terms(levels.size());
  if (levels.size() > 1 && (in_order || levels.size() == 2)) {
    const std::size_t coordinate = add_coordinate(add_group(name));
    const std::vector<double> at = in_order ? places(levels) : std::vector<double>{0.0, 1.0};
    for (std::size_t i = 0; i < levels.size(); ++i) {
      terms[i].push_back({coordinate, at[i]});
    }
    const std::vector<double> aligned = in_order ? alignments(levels) : std::vector<double>{};
    if (!aligned.empty()) {
      const std::size_t extra = add_coordinate(add_group(name + " alignment"));
      for (std::size_t i = 0; i < levels.size(); ++i) {
        terms[i].push_back({extra, aligned[i]});
      }
    }
  } else if (levels.size() > 1) {
    const std::size_t group = add_group(name);
    for (auto& level : terms) {
      level.push_back({add_coordinate(group), std::sqrt(0.5)});
    }
  }
  std::vector<Term> absent;
  if (!everywhere) {
    const std::size_t presence = add_coordinate(add_group(name + " active"));
    for (auto& level : terms) {
      level.push_back({presence, 1.0});
    }
    if (in_order && levels.size() > 1) {
      for (const Term& term : terms.front()) {
        absent.push_back({term.coordinate, term.coordinate == presence ? 0.0 : kMiddle});
      }
    }
  }
  for (std::size_t t = 0; t < templates_.size(); ++t) {
    const auto at = (*space_)[t].space.find(name);
    if (!at) {
      templates_[t].always.insert(templates_[t].always.end(), absent.begin(), absent.end());
      continue;
    }
    CodedAxis& coded = templates_[t].axes[*at];
    coded.absent = absent;
    for (const Value& level : (*space_)[t].space.axis(*at).levels) {
      const auto found = std::find(levels.begin(), levels.end(), level);
      coded.levels.push_back(terms[static_cast<std::size_t>(found - levels.begin())]);
    }
  }
}

double PointEncoder::feature_value(const Feature& feature,
                                   const AxisSpace& space,
                                   const Genome& genome) const {
  std::vector<const Value*> slots;
  for (std::size_t i = 0; i < feature.axis_of_slot.size(); ++i) {
    const int axis = feature.axis_of_slot[i];
    slots.push_back(axis < 0 ? &feature.constants[i]
                             : &space.value(genome, static_cast<std::size_t>(axis)));
  }
  const Result<Value> value = feature.expr.evaluate_slots(std::span<const Value* const>(slots));
  const auto x = value.ok() ? number(*value) : std::nullopt;
  return x ? *x : std::numeric_limits<double>::quiet_NaN();
}

void PointEncoder::add_features(std::size_t template_index) {
  const TemplateSpace& one = (*space_)[template_index];
  if (one.features.empty()) {
    return;
  }
  std::vector<Genome> samples;
  const SpaceWalker walker(one.space);
  Rng rng = stream(0, "feature_scale", template_index);
  for (int i = 0; i < kFeatureSamples; ++i) {
    if (auto genome = walker.sample(rng)) {
      samples.push_back(std::move(*genome));
    }
  }
  for (const auto& [name, expr] : one.features) {
    Feature feature;
    feature.expr = expr;
    bool known = true;
    for (const std::string& slot : expr.names()) {
      const auto axis = one.space.find(slot);
      const auto given = one.feature_values.find(slot);
      const auto constant = one.space.constants().find(slot);
      feature.axis_of_slot.push_back(axis ? static_cast<int>(*axis) : -1);
      known = known && (axis || given != one.feature_values.end() ||
                        constant != one.space.constants().end());
      feature.constants.push_back(axis                                ? Value(false)
                                  : given != one.feature_values.end() ? given->second
                                  : known                             ? constant->second
                                                                      : Value(false));
    }
    std::vector<double> seen;
    for (const Genome& genome : samples) {
      const double x = known ? feature_value(feature, one.space, genome) : std::nan("");
      if (std::isfinite(x)) {
        seen.push_back(x);
      }
    }
    if (seen.empty()) {
      continue;  // never a number: tells the model nothing
    }
    feature.low = *std::min_element(seen.begin(), seen.end());
    feature.high = *std::max_element(seen.begin(), seen.end());
    feature.log_scale = feature.low > 0.0 && feature.high > kLogRatio * feature.low;
    if (feature.log_scale) {
      feature.low = pinned::log(feature.low);
      feature.high = pinned::log(feature.high);
    }
    if (feature.high > feature.low) {
      const auto group = std::find(group_names_.begin(), group_names_.end(), name);
      feature.coordinate = add_coordinate(
          group == group_names_.end() ? add_group(name)
                                      : static_cast<std::size_t>(group - group_names_.begin()));
      templates_[template_index].features.push_back(std::move(feature));
    }
  }
}

void PointEncoder::encode(const Point& point, std::span<double> out) const {
  COPPICE_CHECK(out.size() == width() && point.template_index < templates_.size());
  std::fill(out.begin(), out.end(), 0.0);
  const AxisSpace& space = (*space_)[point.template_index].space;
  const CodedTemplate& coded = templates_[point.template_index];
  const auto put = [&](const std::vector<Term>& terms) {
    for (const Term& term : terms) {
      out[term.coordinate] = term.value;
    }
  };
  put(coded.always);
  for (std::size_t axis = 0; axis < coded.axes.size(); ++axis) {
    const bool here = !space.axis(axis).when || space.active(point.genome, axis);
    put(here ? coded.axes[axis].levels[point.genome.levels[axis]] : coded.axes[axis].absent);
  }
  for (const Feature& feature : coded.features) {
    double x = feature_value(feature, space, point.genome);
    if (feature.log_scale) {
      x = x > 0.0 ? pinned::log(x) : feature.low;
    }
    x = std::isfinite(x) ? (x - feature.low) / (feature.high - feature.low) : kMiddle;
    out[feature.coordinate] = std::clamp(x, -0.5, 1.5);
  }
}

}  // namespace coppice::planner
