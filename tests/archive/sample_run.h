// Events of a made-up run: proposals, evidence and edits for the tests of folds and exports.
#pragma once

#include "core/event.h"

#include <chrono>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace coppice::archive {

inline Proposed proposal(std::uint64_t attempt,
                         std::uint64_t candidate,
                         std::vector<std::uint64_t> parents = {}) {
  Proposed out;
  out.attempt = AttemptId{attempt};
  out.candidate = CandidateId{candidate};
  out.node = NodeId{2};
  out.spec.template_name = "split_kv";
  out.spec.genome.levels = {static_cast<std::uint16_t>(candidate % 4), 1};
  for (const std::uint64_t parent : parents) {
    out.parents.push_back(CandidateId{parent});
  }
  out.mutator = parents.empty() ? "seed" : parents.size() == 1 ? "axis_step" : "crossover";
  out.why = "tile_kv=64 looks cheap";
  out.prediction = Prediction{-0.5, 0.1, 0.9, 0.02, 1.5};
  return out;
}

inline Evidence evidence_for(const Proposed& proposal) {
  Evidence out;
  out.attempt = proposal.attempt;
  out.candidate = proposal.candidate;
  out.fidelity = proposal.fidelity;
  out.precision = "f32";
  out.cost.compile = std::chrono::milliseconds(300);
  out.cost.device = std::chrono::milliseconds(200);
  out.environment = Json::object().set("host", "test");
  return out;
}

inline Event passed(const Proposed& proposal, double log_cost, std::string precision = "f32") {
  Evidence out = evidence_for(proposal);
  out.precision = std::move(precision);
  out.verdict = {true, Gate::physics, FailureClass::none, "valid"};
  Performance performance;
  performance.baseline = "openblas:haswell:threads=2";
  performance.log_cost = log_cost;
  performance.speedup = std::exp(-log_cost);
  performance.speedup_low = performance.speedup * 0.98;
  performance.speedup_high = performance.speedup * 1.02;
  WorkloadTiming timing;
  timing.workload = "b1_s4096";
  timing.median = std::chrono::microseconds(100);
  timing.baseline_median = std::chrono::microseconds(150);
  timing.speedup = performance.speedup;
  performance.workloads.push_back(timing);
  out.performance = performance;
  return Evaluated{out};
}

inline Event failed(const Proposed& proposal, Gate gate, FailureClass failure) {
  Evidence out = evidence_for(proposal);
  out.verdict = {false, gate, failure, "kernel.cpp:3: expected ';'"};
  return Evaluated{out};
}

inline Proposed at_fidelity(Proposed proposal, Fidelity fidelity) {
  proposal.fidelity = fidelity;
  return proposal;
}

inline Event insert_node(std::uint64_t node, std::uint64_t parent, std::string title) {
  Insert insert;
  insert.node = NodeId{node};
  insert.parent = NodeId{parent};
  insert.title = std::move(title);
  insert.template_name = "split_kv";
  insert.reason = "a template";
  return EditApplied{insert};
}

// A small run with everything in it: lineage 1 -> 2 -> 4, 3 fails, crossover 5 of 2 and 4, a lost
// attempt, a finalist and a promotion.
inline std::vector<Event> sample_run() {
  RunStarted start;
  start.run = "gqa-20261123-1";
  start.seed = 7;
  start.environment = Json::object().set("host", "test");
  BaselineFrozen baseline{"b1_s4096", "openblas:haswell:threads=2", {}, true, false, Json()};
  const auto tick = [](int seconds) {
    return Tick{std::chrono::seconds(seconds)};
  };
  const Proposed one = proposal(1, 1);
  const Proposed two = proposal(2, 2, {1});
  const Proposed three = proposal(3, 3, {1});
  const Proposed four = proposal(4, 4, {2});
  const Proposed lost = proposal(5, 5, {2, 4});
  const Proposed again = proposal(6, 5, {2, 4});
  const Proposed finalist = at_fidelity(proposal(7, 4, {2}), Fidelity::finalist);
  const Proposed promotion = at_fidelity(proposal(8, 4, {2}), Fidelity::promote);
  Update update;
  update.node = NodeId{2};
  update.best = CandidateId{4};
  update.priority = 3.0;
  update.reason = "a new best";
  return {start,
          baseline,
          insert_node(1, 0, "root"),
          insert_node(2, 1, "split_kv"),
          insert_node(3, 2, "split_kv with bf16 staging"),
          insert_node(4, 3, "deeper"),
          WorkRequested{0},
          one,
          passed(one, -0.1),
          tick(1),
          two,
          passed(two, -0.3),
          three,
          failed(three, Gate::build, FailureClass::compile_error),
          tick(2),
          four,
          passed(four, -0.8),
          EditApplied{update},
          EditApplied{Prune{NodeId{3}, "can't win"}},
          lost,
          Resumed{{AttemptId{5}}, "the same host"},
          tick(3),
          again,
          passed(again, -0.6, "bf16"),
          finalist,
          passed(finalist, -0.79),
          promotion,
          passed(promotion, -0.78),
          Promoted{CandidateId{4}, AttemptId{8}, "f32"},
          Stopped{StopReason::budget_attempts, "6 attempts"}};
}

}  // namespace coppice::archive
