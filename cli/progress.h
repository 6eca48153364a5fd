// Progress: tells a person how the run goes; one live line on a terminal, plain lines otherwise.
#pragma once

#include "cli/console.h"
#include "cli/disagreement.h"
#include "cli/run_loop.h"

#include <map>
#include <string>

namespace coppice::cli {

struct ProgressOptions {
  search::Budget budget;
  std::string prefix;            // in front of each line: the strategy, when several are compared
  bool against_baseline = true;  // else a cost is a time
};

// Used by the run's main thread.
class Progress final : public RunObserver {
 public:
  Progress(Console& console, const Clock& clock, ProgressOptions options, Disagreement disagreement)
      : console_(console),
        clock_(clock),
        options_(std::move(options)),
        disagreement_(std::move(disagreement)) {}

  void proposed(const Proposed& proposal, const search::EngineView& view) override;
  void evaluated(const Evidence& evidence, const search::EngineView& view) override;
  void lost(int device, const std::string& why) override;
  void waiting(Nanoseconds elapsed, const search::EngineView& view) override;

 private:
  void draw(const search::EngineView& view);
  std::string eta(const search::EngineView& view) const;

  Console& console_;
  const Clock& clock_;
  const ProgressOptions options_;
  Disagreement disagreement_;
  bool told_disagreement_ = false;
  std::map<AttemptId, Proposed> trying_;  // in flight
  Nanoseconds elapsed_{};
  Nanoseconds drawn_{};
  double best_log_cost_ = 0.0;
  bool any_best_ = false;
};

}  // namespace coppice::cli
