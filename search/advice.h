// Advice: what a language model believes about levels of axes, trusted as far as its earlier
// beliefs came true.
#pragma once

#include "planner/world_model.h"
#include "search/book.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace coppice::search {

// How well beliefs that were logged before a measurement agree with it: the trust that follows.
// Without any it is a little; with rank correlation 1 it grows to 1, with none it goes to 0.
double advice_trust(const std::vector<double>& expected, const std::vector<double>& measured);

// Deterministic. Empty until a model has said something: then it changes nothing.
class Advice {
 public:
  bool empty() const { return beliefs_.empty(); }
  // Later beliefs about a level replace earlier ones. What they are relative to is the best
  // candidate of each template so far.
  void take(const std::vector<LlmPrior>& priors, const Domain& domain, const Book& book);
  // The log cost that it expects of a point; nothing where it says nothing about it.
  std::optional<double> expects(const Point& point) const;
  // The model's belief moved towards that, as far as the one is unsure and the other trusted.
  planner::Belief blend(const Point& point, planner::Belief belief) const;
  // A result whose expectation was logged before.
  void learn(double expected, double measured);
  double trust() const { return trust_; }

 private:
  struct Anchor {
    Genome genome;
    double log_cost = 0.0;
  };
  struct Effects {
    std::vector<std::vector<double>> gain;  // by axis, level: ln(time) saved
    std::optional<Anchor> anchor;
  };
  std::map<std::pair<std::string, std::string>, double> beliefs_;  // (axis, level) to gain
  std::vector<Effects> effects_;                                   // by template
  std::vector<double> expected_, measured_;
  double trust_ = advice_trust({}, {});
};

}  // namespace coppice::search
