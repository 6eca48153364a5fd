// Progress: tells a person how the run goes; one live line on a terminal, plain lines otherwise.
#pragma once

#include "cli/console.h"
#include "cli/run_loop.h"

#include <map>
#include <string>

namespace coppice::cli {

struct ProgressOptions {
  search::Budget budget;
  std::string prefix;  // in front of each line: the strategy, when several are compared
};

// Used by the run's main thread.
class Progress final : public RunObserver {
 public:
  Progress(Console& console, const Clock& clock, ProgressOptions options)
      : console_(console), clock_(clock), options_(std::move(options)) {}

  void proposed(const Proposed& proposal, const search::EngineView& view) override;
  void evaluated(const Evidence& evidence, const search::EngineView& view) override;
  void waiting(Nanoseconds elapsed, const search::EngineView& view) override;

 private:
  void draw(const search::EngineView& view);
  std::string eta(const search::EngineView& view) const;

  Console& console_;
  const Clock& clock_;
  const ProgressOptions options_;
  std::map<AttemptId, std::string> trying_;  // in flight: "axis_step: split_kv"
  Nanoseconds elapsed_{};
  Nanoseconds drawn_{};
  double best_log_cost_ = 0.0;
  bool any_best_ = false;
};

}  // namespace coppice::cli
