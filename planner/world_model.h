// WorldModel: predicts cost and validity of untried points, with honest spread, from what was
// measured.
#pragma once

#include "core/event.h"
#include "core/executor.h"
#include "core/search_space.h"
#include "planner/warm_source.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace coppice::planner {

// What one evaluation taught.
struct Observation {
  Point point;
  bool valid = false;
  double log_cost = 0.0;       // valid only; natural log, smaller is better
  double log_noise = 0.0;      // standard error of log_cost; 0 = unknown
  Gate gate = Gate::contract;  // where it failed
  FailureClass failure = FailureClass::none;
  double seconds = 0.0;  // what the evaluation cost, compile and device
};

// Where the model keeps what it knows of the points of one question. Given again with the same
// points in the same order, it spares finding them; forget() when they have changed.
struct KnownPoints {
  std::vector<std::uint32_t> slots;
  std::uint64_t generation = 0;
  void forget() { slots.clear(); }
};

struct Belief {
  double mean = 0.0;    // of log_cost
  double spread = 0.0;  // standard deviation of an outcome, measurement noise included
  double p_valid = 1.0;
  double seconds = 0.0;  // expected cost of evaluating it
};

// Numbers of the model that a bench may turn; the defaults are what the benches chose.
struct ModelTuning {
  double clip = 1.0;            // costs above median + clip * (median - best) count as that much
  double centre = 0.3;          // quantile of the clipped costs that an unlike point is expected at
  double refit_growth = 1.35;   // refits when the observations have grown by this factor
  std::size_t fit_rows = 128;   // observations that a fit looks at, the best ones first
  std::size_t most_rows = 512;  // observations that the posterior holds
  int fit_steps = 24;
  double length_share = 0.35;  // prior lengthscale at one coordinate
  double length_spread = 1.0;
  double nugget = 0.01;      // prior noise, as a share of the signal
  double warm_spread = 0.1;  // of what the sources of a warm start do not explain, before any data
  std::size_t warm_fits = 24;  // first observations that are each followed by a refit, when warm
};

// Deterministic: the same observations in the same order give the same bits on every machine,
// whatever the executor. Not thread-safe. Observing is incremental (no refit from scratch at each
// step).
class WorldModel {
 public:
  WorldModel(const SearchSpace& space,
             std::uint64_t seed,
             Executor& executor,
             const ModelTuning& tuning = {},
             std::vector<WarmSource> warm = {});  // keeps references to space and executor
  WorldModel(WorldModel&&) noexcept;
  WorldModel& operator=(WorldModel&&) noexcept;
  ~WorldModel();

  void observe(const Observation& observation);
  // Points in flight: predictions treat them as measured at their own mean (so that a batch spreads
  // out).
  void set_pending(std::span<const Point> pending);
  bool ready() const;  // enough observations to predict at all, or a warm start that is held
  // Some source of the warm start is believed: before the first valid observation a mean of 0 is
  // what the sources' best did.
  bool warm() const;
  // The best points of the warm start's sources; not all need to be valid here.
  std::vector<Point> favourites(std::size_t limit) const;
  // What is worked out for a point is kept and only brought up to date when the point comes back,
  // so asking for the same thousands of points after each observation is cheap (all points of a
  // space of 20,000, say). Answers do not depend on what was asked before.
  std::vector<Belief> predict(std::span<const Point> points, KnownPoints* known = nullptr) const;
  // Gives back the memory of such answers and of the posterior; both are worked out anew, to the
  // bit, when they are asked for again.
  void rest();
  std::size_t kept_bytes() const;  // of that memory
  // Expected improvement below `best` (log cost) times p_valid; the acquisition value of a belief.
  static double expected_gain(const Belief& belief, double best);
  // Never below expected_gain(), less than 1.7 times it, and much cheaper.
  static double gain_bound(const Belief& belief, double best);
  std::size_t observations() const;
  // In words, for `tree --why` and the report: lengthscales, noise, most relevant axes.
  Json explain() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coppice::planner
