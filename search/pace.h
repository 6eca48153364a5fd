// Pace: how long attempts take, so that none is begun that would end after the budget.
#pragma once

#include "core/units.h"

#include <cstddef>
#include <deque>
#include <map>

namespace coppice::search {

// Reads recorded running time alone, so a replay sees the same durations. A lane asks for work as
// soon as its last attempt is over: from one question to the next is what an attempt takes, with
// all that is done around it.
class Pace {
 public:
  // `lane` asks for work at `now`; with nothing left in flight there, its last attempt has ended.
  void asks(int lane, Nanoseconds now);
  void begins(int lane, Nanoseconds now);
  void forget() { since_.clear(); }  // what was in flight is lost
  // The median of the newest durations; 0 before the first.
  Nanoseconds typical() const;

 private:
  static constexpr std::size_t kNewest = 15;
  std::map<int, Nanoseconds> since_;  // by lane
  std::deque<Nanoseconds> took_;
};

}  // namespace coppice::search
