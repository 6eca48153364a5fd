// Outlook: the untried points of all templates with what the world model expects of them, the best
// first.
#pragma once

#include "planner/world_model.h"
#include "search/chooser.h"

#include <optional>
#include <vector>

namespace coppice::search {

struct Prospect {
  Point point;
  planner::Belief belief;
  double gain = 0.0;   // expected improvement times P(valid)
  double value = 0.0;  // the same per unit of budget
};

// Holds every untried point where there are few enough, else a sample that trades its least
// promising points for new ones at each look. Deterministic. `shared` and `model` outlive it.
class Outlook {
 public:
  Outlook(Shared& shared, planner::WorldModel& model);

  // The domain has grown: the pool is filled anew.
  void forget();
  // Gives back what the next refresh() works out anyway; until then there is no prospect.
  void rest();
  // Asks the model about the pool and about `extra` (untried points that may not be in it).
  void refresh(const std::vector<Point>& extra);
  // The untried points of the last refresh, best first; nothing past the last one.
  const Prospect* at(std::size_t rank);
  // Works bar() out from what is known now; refresh() does it too.
  void set_bars();
  // Fills belief, gain and value in for given points.
  std::vector<Prospect> judge(const std::vector<Point>& points);
  // Every permitted point of every template is in the pool.
  bool whole() const { return whole_; }
  // Cost that a point of this class has to beat; nothing when there is none yet. The best measured
  // one as far as its measurement can be trusted.
  std::optional<double> bar(std::size_t precision) const;
  // A candidate's cost as measurement and model together see it.
  double estimate(CandidateId candidate) const;

 private:
  struct Scored {
    double bound = 0.0;
    std::uint32_t index = 0;  // in pool_, then in extra_
  };
  void fill();
  void renew();
  void sort_next_part();
  const Point& point(std::uint32_t index) const {
    return index < pool_.size() ? pool_[index] : extra_[index - pool_.size()];
  }
  Prospect prospect(const Point& point, const planner::Belief& belief) const;
  double weight(std::size_t precision, const planner::Belief& belief) const;

  Shared& shared_;
  planner::WorldModel& model_;
  std::vector<Subspace> spaces_;
  bool filled_ = false;
  bool whole_ = false;
  std::vector<Point> pool_;
  planner::KnownPoints known_;  // of the pool
  std::vector<Point> extra_;
  std::vector<planner::Belief> beliefs_;  // of the pool, then of extra_
  std::vector<Scored> order_;             // sorted up to sorted_
  std::size_t sorted_ = 0;
  std::vector<Prospect> best_;
  std::vector<std::optional<double>> bars_;  // by class
};

}  // namespace coppice::search
