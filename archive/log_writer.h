// LogWriter: an ExperimentLog behind a thread, so that nobody waits for a disk who need not.
#pragma once

#include "archive/experiment_log.h"
#include "core/thread_safety.h"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

namespace coppice::archive {

struct WriterOptions {
  // A group is committed when it has so many entries, is so old, or when somebody waits for it.
  std::size_t group_rows = 64;
  Nanoseconds group_age = std::chrono::milliseconds(20);
  // append() and put_blob() wait while so much is queued.
  std::size_t queue_rows = 8192;
  std::size_t queue_bytes = 64U << 20U;
  // How long a wait for room or durability may take before it is an error (a disk that hangs).
  Nanoseconds patience = std::chrono::seconds(120);
};

// Entries reach the log in the order of the calls. Any thread may call; places are given in the
// order in which calls arrive. After an error (full disk, I/O) every call returns it, and nothing
// that wait() or flush() has confirmed is lost: reopen the run to go on.
class LogWriter {
 public:
  // Takes over a log opened for writing. On destruction without close(), what was not committed is
  // dropped.
  explicit LogWriter(ExperimentLog log, WriterOptions options = {});
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  ~LogWriter();

  // The event's place; not durable yet. Encoding and hashing happen on the writer's thread.
  Result<EventSeq> append(Event event);
  Result<EventSeq> append_encoded(std::string bytes);
  // All of them in one commit, whatever happens: an input and the decisions that follow from it.
  // Returns the place of the last.
  Result<EventSeq> append_all(std::vector<Event> events);
  // Ordered before any event appended later, so that no durable event names a missing text.
  Result<Digest> put_blob(std::string bytes);
  Result<void> wait(EventSeq seq);  // until that event is durable
  Result<void> flush();             // until everything queued before this call is durable
  EventSeq durable() const;
  std::optional<Error> failure() const;

  // Commits the rest, writes the closing checkpoint, gives the lock back. Later calls are errors.
  Result<void> close();

  struct Figures {
    std::uint64_t commits = 0, rows = 0, blobs = 0;
    Nanoseconds committing{};  // spent in commits, on the writer's thread
    Nanoseconds blocked{};     // callers' waits for room in the queue
  };
  Figures figures() const;

 private:
  struct Blob {
    std::string bytes;
  };
  struct Entry {
    std::variant<std::vector<Event>, std::string, Blob> what;  // std::string: an encoded event
    std::size_t rows = 0;
    std::size_t bytes = 0;
  };
  using Time = std::chrono::steady_clock::time_point;

  void work();
  bool take_group(std::deque<Entry>& group);  // false: the thread's work is over
  Result<void> write_group(std::deque<Entry> group);
  bool group_due(Time now) const COPPICE_REQUIRES(mutex_);
  Result<void> usable() const COPPICE_REQUIRES(mutex_);
  Result<EventSeq> enqueue(Entry entry);
  bool full() const COPPICE_REQUIRES(mutex_);
  void stop(bool drop);

  ExperimentLog log_;  // the thread's alone, until it has ended
  const WriterOptions options_;

  mutable Mutex mutex_;
  std::condition_variable_any room_, work_, progress_;
  std::deque<Entry> queue_ COPPICE_GUARDED_BY(mutex_);
  std::size_t queued_rows_ COPPICE_GUARDED_BY(mutex_) = 0;
  // Queued or being committed.
  std::size_t waiting_rows_ COPPICE_GUARDED_BY(mutex_) = 0;
  std::size_t waiting_bytes_ COPPICE_GUARDED_BY(mutex_) = 0;
  Time oldest_ COPPICE_GUARDED_BY(mutex_);                 // when the queue's first entry came
  std::uint64_t taken_in_ COPPICE_GUARDED_BY(mutex_) = 0;  // entries, blobs included
  std::uint64_t settled_ COPPICE_GUARDED_BY(mutex_) = 0;   // entries durable
  std::uint64_t wanted_ COPPICE_GUARDED_BY(mutex_) = 0;    // somebody waits for so many
  std::uint64_t next_event_ COPPICE_GUARDED_BY(mutex_);    // place of the next event
  std::uint64_t durable_event_ COPPICE_GUARDED_BY(mutex_);
  bool stopping_ COPPICE_GUARDED_BY(mutex_) = false;
  bool dropping_ COPPICE_GUARDED_BY(mutex_) = false;
  std::optional<Error> failure_ COPPICE_GUARDED_BY(mutex_);
  Figures figures_ COPPICE_GUARDED_BY(mutex_);
  std::thread thread_;  // last: starts when everything else is there
};

}  // namespace coppice::archive
