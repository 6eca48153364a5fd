// LoopOrder: tells ThreadSanitizer what a parallel loop puts in order, where the library that runs
// it is not instrumented. Without ThreadSanitizer it is nothing.
#pragma once

// COPPICE_THREAD_SANITIZER is for the one source that is compiled without instrumentation.
#if defined(__SANITIZE_THREAD__) || defined(COPPICE_THREAD_SANITIZER)
#define COPPICE_LOOP_ORDER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COPPICE_LOOP_ORDER 1
#endif
#endif

#ifdef COPPICE_LOOP_ORDER
#include <sanitizer/tsan_interface.h>
#endif

namespace coppice {

// One loop, on the caller's stack: bodies see what the caller did before begin(), the caller sees
// after end() what they did. Bodies stay unordered among themselves, so that a race between two of
// them is still reported.
class LoopOrder {
 public:
#ifdef COPPICE_LOOP_ORDER
  void begin() {
    __tsan_release(&begun_);
  }
  void enter_body() {
    __tsan_acquire(&begun_);
  }
  void leave_body() {
    __tsan_release(&left_);
  }
  void end() {
    __tsan_acquire(&left_);
  }

 private:
  char begun_ = 0, left_ = 0;
#else
  void begin() {}
  void enter_body() {}
  void leave_body() {}
  void end() {}
#endif
};

}  // namespace coppice
