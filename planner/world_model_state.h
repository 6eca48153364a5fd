// The world model's whole state; private to its sources.
#pragma once

#include "planner/encoder.h"
#include "planner/gp_fit.h"
#include "planner/point_table.h"
#include "planner/votes.h"
#include "planner/warm_prior.h"
#include "planner/warm_trust.h"
#include "planner/world_model.h"

#include <memory>
#include <optional>
#include <vector>

namespace coppice::planner {

// One valid observation as the process sees it.
struct Seen {
  std::uint32_t slot = 0;  // its place in State::seen
  double log_cost = 0.0;
  double log_noise = 0.0;
};

struct WorldModel::State {
  static constexpr std::size_t kReady = 3;          // valid observations
  static constexpr std::size_t kMostSlots = 24576;  // points whose posteriors are kept
  static constexpr std::size_t kVoteReady = 8;  // evaluations, before axes are learned by failures
  static constexpr std::size_t kVoteFitRows = 96;  // of which at most half are failures
  static constexpr std::size_t kMostVotes = 1024;  // twice as many before the oldest half goes
  static constexpr double kLeastScale = 1e-3;      // of log costs

  struct Block {
    Block(std::size_t width, std::size_t sources)
        : posterior(width), slow(kBlock * sources), fails(kBlock * sources) {}
    GpBlock posterior;
    VoteBlock votes;
    double mean[kBlock] = {};
    double variance[kBlock] = {};
    std::vector<double> slow, fails;  // by lane, then source of the warm start
  };

  State(const SearchSpace& space, Executor& executor, const ModelTuning& t);

  std::vector<double> encode(const Point& point) const {
    std::vector<double> x(encoder.width());
    encoder.encode(point, x);
    return x;
  }

  std::size_t sources() const { return warm ? warm->size() : 0; }
  bool warmed() const { return warm && trust.held; }
  // What the sources together expect of it, but for a constant.
  double expected(const Seen& one) const {
    return warmed() ? trust.expect({seen_slow.data() + one.slot * sources(), sources()}) : 0.0;
  }
  double target(const Seen& one) const {
    return (std::min(one.log_cost, ceiling) - expected(one) - shift) / scale;
  }
  double extra_noise(double log_noise) const {
    const double share = log_noise / scale;
    return share * share;
  }

  void refit();
  void fit_process();
  void set_warm(std::vector<WarmSource> given, const SearchSpace& space);
  void hear(const Observation& observation);  // compares it with what the sources said
  void judge_sources();
  void standardise_warm();
  double warm_p_valid(std::span<const double> fails) const;
  Json explain_warm() const;
  void refit_votes();
  void standardise();
  std::vector<std::size_t> chosen_rows(std::size_t most) const;
  GpData fit_data(const std::vector<std::size_t>& rows) const;
  void append(const Seen& one);
  void append_pending();
  std::vector<std::uint32_t> slots_of(std::span<const Point> points) const;
  void ask_sources(std::size_t first) const;
  void forget_answers() const;
  void wake() const {
    if (process) {
      process->wake();
    }
  }
  void update(std::span<const std::uint32_t> slots) const;

  Executor* executor;
  ModelTuning tuning;
  PointEncoder encoder;
  LevelRates rates;
  Votes votes;
  GpPrior prior;
  std::vector<std::size_t> group;

  std::vector<Seen> seen;      // valid observations, in order
  std::vector<double> seen_x;  // their coordinates
  std::size_t observations = 0;
  std::size_t next_fit = kReady, next_vote_fit = kVoteReady;
  std::vector<Point> pending;

  // Of the last fit.
  double shift = 0.0, scale = 1.0, ceiling = 0.0, amplitude = 1.0, score = 0.0;
  GpHyper hyper;
  GpHyper vote_hyper;
  mutable std::optional<GaussianProcess> process;  // may rest: what asks it wakes it first

  // The warm start.
  std::optional<WarmPrior> warm;
  WarmTrust trust;
  std::vector<double> believed;             // by source, before anything is measured
  std::vector<double> seen_slow;            // of each valid observation, by source
  std::vector<double> told_failed, failed;  // by source: points that it said fail, and did

  // Posteriors that were asked for; a memory of answers, never an input to one.
  mutable PointTable table;
  mutable std::vector<Block> blocks;
  mutable std::uint64_t generation = 1;  // grows when the memory is emptied
};

}  // namespace coppice::planner
