// Keeps the newest durations of attempts.
#include "search/pace.h"

#include <algorithm>
#include <vector>

namespace coppice::search {

void Pace::asks(int lane, Nanoseconds now) {
  const auto found = since_.find(lane);
  if (found == since_.end()) {
    return;
  }
  took_.push_back(now - found->second);
  if (took_.size() > kNewest) {
    took_.pop_front();
  }
  since_.erase(found);
}

void Pace::begins(int lane, Nanoseconds now) {
  since_[lane] = now;
}

Nanoseconds Pace::typical() const {
  if (took_.empty()) {
    return Nanoseconds{0};
  }
  std::vector<Nanoseconds> sorted(took_.begin(), took_.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

}  // namespace coppice::search
