// Book: what the engine knows about candidates and attempts; the facts that all strategies share.
#pragma once

#include "core/event.h"
#include "search/domain.h"
#include "search/search_config.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace coppice::search {

struct CandidateRecord {
  std::optional<Point> point;  // absent: text that is no template's
  bool from_text = false;      // proposed as text, whether or not it is a template's by now
  std::uint32_t stored = 0;    // its index in EngineSetup::seeds then
  std::size_t precision = 0;   // class index
  NodeId node;                 // under which it was first proposed
  bool valid = false;          // at search fidelity
  double log_cost = 0.0;       // valid only
  double log_noise = 0.0;
};

// An attempt in flight.
struct Attempt {
  Proposed proposed;
  std::optional<Point> point;
  int repeats = 0;  // times that it was proposed again after an infrastructure failure
};

// What evidence means to the search.
struct Lesson {
  CandidateId candidate;
  bool valid = false;
  double log_cost = 0.0;
  double log_noise = 0.0;
  std::size_t precision = 0;
  // Improvement on the best of its class in log cost; 0 when it is none or the first.
  double gain = 0.0;
  bool first = false;  // the first valid one of its class
  double seconds = 0.0;
  Gate gate = Gate::contract;
  FailureClass failure = FailureClass::none;
  std::optional<double> partial_log_cost;  // too slow, and the evidence says how slow
};

class Book {
 public:
  Book(const Domain& domain, std::size_t kept_per_class);

  // The candidate of a point, entered at its first proposal. Never the same id for two points.
  CandidateId enter(const Point& point, NodeId node);
  CandidateId enter_stored(std::uint32_t seed, NodeId node);
  // A candidate that came as text turns out to be this point, which nobody has proposed.
  void identify(CandidateId candidate, const Point& point);
  bool known(const Point& point) const { return ids_.contains(point); }
  const CandidateRecord& at(CandidateId id) const { return candidates_[id.value - 1]; }
  std::size_t candidates() const { return candidates_.size(); }
  bool contains(CandidateId id) const { return id.value >= 1 && id.value <= candidates_.size(); }

  // Takes search-fidelity evidence in and says what it means.
  Lesson learn(const Attempt& attempt, const Evidence& evidence);
  double mean_seconds() const;  // that a valid attempt took; 0 when unknown
  std::optional<CandidateId> best(std::size_t precision) const;
  std::optional<double> best_log_cost(std::size_t precision) const;
  // Best first, ties by id; at most as many as are kept.
  std::vector<CandidateId> leaders(std::size_t precision) const;

  // In flight, by attempt.
  std::map<AttemptId, Attempt> in_flight;
  std::int64_t attempts = 0;  // charged
  std::int64_t valid = 0;
  std::map<std::string, std::int64_t> rejected;  // failure class to count

 private:
  struct PointHash {
    std::size_t operator()(const Point& point) const noexcept;
  };
  const Domain* domain_;
  std::size_t kept_;
  double valid_seconds_ = 0.0;
  std::vector<CandidateRecord> candidates_;
  std::unordered_map<Point, CandidateId, PointHash> ids_;          // looked up, never iterated
  std::vector<std::set<std::pair<double, CandidateId>>> leaders_;  // by class
};

}  // namespace coppice::search
