// Processor time of this thread: what a busy machine does not stretch, so that limits on cost hold.
#pragma once

#include <ctime>

namespace coppice {

inline double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace coppice
