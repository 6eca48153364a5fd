// Votes: what like points did says whether a point will work, and what its evaluation will cost.
#pragma once

#include "core/search_space.h"
#include "planner/correlation.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace coppice::planner {

// All evaluations, each with its place. Likeness is the world model's kernel, sharpened.
class Votes {
 public:
  explicit Votes(std::size_t width) : width_(width) {}

  void add(std::span<const double> x, bool valid, double seconds);
  void set_weights(std::vector<double> weights);  // starts a new generation
  void forget(std::size_t keep);                  // keeps the latest ones: a new generation
  std::size_t size() const { return valid_.size(); }
  std::size_t failures() const { return failures_; }
  std::uint64_t generation() const { return generation_; }
  double mean_log_seconds() const;  // of those that are known
  bool knows_seconds() const { return timed_ > 0; }

  std::span<const double> x(std::size_t i) const { return {points_.data() + i * width_, width_}; }
  std::span<const double> weights() const { return weights_; }
  bool valid(std::size_t i) const { return valid_[i]; }
  double log_seconds(std::size_t i) const { return log_seconds_[i]; }

 private:
  std::size_t width_;
  std::vector<double> points_;
  std::vector<bool> valid_;
  std::vector<double> log_seconds_;
  std::vector<double> weights_;
  std::size_t failures_ = 0, timed_ = 0;
  double sum_log_seconds_ = 0.0;
  std::uint64_t generation_ = 0;
};

// The votes on a block of candidates.
class VoteBlock {
 public:
  void extend(const Votes& votes, const float* coordinates);
  // P(valid), given what is believed before looking at like points.
  double p_valid(std::size_t lane, double prior) const;
  double seconds(std::size_t lane, const Votes& votes) const;

 private:
  std::size_t counted_ = 0;
  std::uint64_t generation_ = 0;
  std::vector<double> weight_, valid_weight_, log_seconds_;
};

// How often each level of each axis worked: what is believed of a point that is like no other.
class LevelRates {
 public:
  explicit LevelRates(const SearchSpace& space);
  void add(const Point& point, bool valid);
  double p_valid(const Point& point) const;

 private:
  struct Tally {
    double tried = 0.0, failed = 0.0;
  };
  std::vector<std::vector<std::vector<Tally>>> tallies_;  // by template, axis, level
  std::vector<Tally> all_;                                // by template
};

}  // namespace coppice::planner
