// PointEncoder: axis levels and derived features as coordinates between 0 and 1.
#pragma once

#include "core/search_space.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace coppice::planner {

// Distances between encoded points mean what the axes' types say: ordered levels lie on a line
// (on a logarithmic one where the levels are spaced like that), levels without order are equally
// far from each other. Axes of the same name in several templates share their coordinates; an axis
// that is absent or inactive lies in the middle and says so in a coordinate of its own.
class PointEncoder {
 public:
  explicit PointEncoder(const SearchSpace& space);  // keeps the reference

  std::size_t width() const { return group_.size(); }  // coordinates
  // Coordinates with one relevance (lengthscale) together: an axis, its alignment, a feature...
  std::size_t groups() const { return group_names_.size(); }
  std::size_t group(std::size_t coordinate) const { return group_[coordinate]; }
  const std::string& group_name(std::size_t group) const { return group_names_[group]; }

  void encode(const Point& point, std::span<double> out) const;

 private:
  struct Term {
    std::size_t coordinate = 0;
    double value = 0.0;
  };
  struct CodedAxis {
    std::vector<std::vector<Term>> levels;
    std::vector<Term> absent;
  };
  struct Feature {
    std::size_t coordinate = 0;
    Expr expr;
    std::vector<int> axis_of_slot;  // -1: constant
    std::vector<Value> constants;
    bool log_scale = false;
    double low = 0.0, high = 1.0;
  };
  struct CodedTemplate {
    std::vector<CodedAxis> axes;
    std::vector<Term> always;  // template's own coordinate; axes that it does not have
    std::vector<Feature> features;
  };

  std::size_t add_group(std::string name);
  std::size_t add_coordinate(std::size_t group);
  void add_template_coordinate();
  void add_axis(const std::string& name);
  void add_features(std::size_t template_index);
  double feature_value(const Feature& feature, const AxisSpace& space, const Genome& genome) const;

  const SearchSpace* space_;
  std::vector<std::size_t> group_;  // of each coordinate
  std::vector<std::string> group_names_;
  std::vector<CodedTemplate> templates_;
};

}  // namespace coppice::planner
