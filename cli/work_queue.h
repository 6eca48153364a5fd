// WorkQueue: a bounded first-in-first-out queue between threads; waits end with a deadline or a
// stop.
#pragma once

#include "core/thread_safety.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <optional>
#include <stop_token>
#include <utility>

namespace coppice::cli {

// Thread-safe. Items left at the end are dropped with the queue.
template <class T>
class WorkQueue {
 public:
  explicit WorkQueue(std::size_t capacity) : capacity_(capacity) {}

  // Waits for room; false when stopped first (the item is dropped).
  bool push(T item, std::stop_token stop) {
    {
      MutexLock lock(mutex_);
      const auto has_room = [this]() COPPICE_REQUIRES(mutex_) {
        return items_.size() < capacity_;
      };
      if (!room_.wait(mutex_, stop, has_room)) {
        return false;
      }
      items_.push_back(std::move(item));
    }
    filled_.notify_one();
    return true;
  }

  // Waits for an item; nothing when stopped.
  std::optional<T> pop(std::stop_token stop) {
    MutexLock lock(mutex_);
    const auto filled = [this]() COPPICE_REQUIRES(mutex_) {
      return !items_.empty();
    };
    if (!filled_.wait(mutex_, stop, filled)) {
      return std::nullopt;
    }
    return take();
  }

  // Waits at most `patience`.
  std::optional<T> pop_for(std::chrono::nanoseconds patience) {
    MutexLock lock(mutex_);
    const auto filled = [this]() COPPICE_REQUIRES(mutex_) {
      return !items_.empty();
    };
    if (!filled_.wait_for(mutex_, patience, filled)) {
      return std::nullopt;
    }
    return take();
  }

 private:
  std::optional<T> take() COPPICE_REQUIRES(mutex_) {
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    room_.notify_one();
    return item;
  }

  const std::size_t capacity_;
  Mutex mutex_;
  std::condition_variable_any filled_;
  std::condition_variable_any room_;
  std::deque<T> items_ COPPICE_GUARDED_BY(mutex_);
};

}  // namespace coppice::cli
