// MachineGate: on a small machine, compilers rest while a kernel is timed.
#pragma once

#include "core/thread_safety.h"

#include <condition_variable>

namespace coppice::cli {

// Thread-safe. Many compilers or one timing at a time; a waiting timing goes before new compilers,
// so that it never starves. A gate that is not `exclusive` lets everybody through.
class MachineGate {
 public:
  explicit MachineGate(bool exclusive) : exclusive_(exclusive) {}

  class Pass {
   public:
    Pass(MachineGate& gate, bool timing) : gate_(gate), timing_(timing) { gate_.enter(timing_); }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() { gate_.leave(timing_); }

   private:
    MachineGate& gate_;
    bool timing_;
  };

 private:
  void enter(bool timing) {
    if (!exclusive_) {
      return;
    }
    MutexLock lock(mutex_);
    if (timing) {
      ++waiting_;
      while (compiling_ > 0 || timing_now_) {
        changed_.wait(mutex_);
      }
      --waiting_;
      timing_now_ = true;
    } else {
      while (waiting_ > 0 || timing_now_) {
        changed_.wait(mutex_);
      }
      ++compiling_;
    }
  }
  void leave(bool timing) {
    if (!exclusive_) {
      return;
    }
    {
      MutexLock lock(mutex_);
      if (timing) {
        timing_now_ = false;
      } else {
        --compiling_;
      }
    }
    changed_.notify_all();
  }

  const bool exclusive_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  int waiting_ COPPICE_GUARDED_BY(mutex_) = 0;
  int compiling_ COPPICE_GUARDED_BY(mutex_) = 0;
  bool timing_now_ COPPICE_GUARDED_BY(mutex_) = false;
};

}  // namespace coppice::cli
