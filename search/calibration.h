// Calibration: makes the spreads that a run logs cover what they say they cover.
#pragma once

#include "core/event.h"

namespace coppice::search {

// The points that a search chooses are those that its model is too hopeful about, so that the
// model's own spread is too narrow for them. What is logged is that spread times a factor, which
// grows with each result outside the 80 % interval and shrinks with each inside it, in steps that
// keep both in balance at 80 % (adaptive conformal inference, Gibbs and Candes 2021). Choices do
// not read it.
class Calibration {
 public:
  double factor() const { return factor_; }
  // A result that was predicted with a logged spread.
  void take(double log_cost, const Prediction& prediction);

 private:
  double factor_ = 1.5;
  int seen_ = 0;
};

}  // namespace coppice::search
