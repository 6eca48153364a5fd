// LogWriter: an ExperimentLog behind a thread.
#include "archive/log_writer.h"

#include <utility>

namespace coppice::archive {

namespace {

using std::chrono::steady_clock;

// An event's size before it is encoded: only the queue's bound reads it.
constexpr std::size_t kTypicalEvent = 2048;

// One transaction stays far below the log's own limit, which knows nothing of entries.
constexpr std::size_t kRowsPerCommit = 1024;

Nanoseconds since(steady_clock::time_point start) {
  return std::chrono::duration_cast<Nanoseconds>(steady_clock::now() - start);
}

steady_clock::time_point after(Nanoseconds wait) {
  return steady_clock::now() + std::chrono::duration_cast<steady_clock::duration>(wait);
}

Error too_slow(std::string_view what, Nanoseconds patience) {
  return Error{ErrorCode::io,
               "experiment log: " + std::string(what) + " took longer than " +
                   std::to_string(patience.count() / 1'000'000'000) + " s: the disk hangs"};
}

}  // namespace

LogWriter::LogWriter(ExperimentLog log, WriterOptions options)
    : log_(std::move(log)),
      options_(options),
      next_event_(log_.durable().value + 1),
      durable_event_(log_.durable().value),
      thread_([this] { work(); }) {}

LogWriter::~LogWriter() {
  stop(true);
}

void LogWriter::stop(bool drop) {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    dropping_ = dropping_ || drop;
  }
  work_.notify_all();
  room_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

Result<void> LogWriter::usable() const {
  if (failure_) {
    return *failure_;
  }
  if (stopping_) {
    return Error{ErrorCode::io, "experiment log: already closed"};
  }
  return {};
}

Result<EventSeq> LogWriter::append(Event event) {
  std::vector<Event> events;
  events.push_back(std::move(event));
  return append_all(std::move(events));
}

Result<EventSeq> LogWriter::append_all(std::vector<Event> events) {
  const std::size_t rows = events.size();
  return enqueue(Entry{std::move(events), rows, rows * kTypicalEvent});
}

Result<EventSeq> LogWriter::append_encoded(std::string bytes) {
  const std::size_t size = bytes.size();
  return enqueue(Entry{std::move(bytes), 1, size});
}

Result<Digest> LogWriter::put_blob(std::string bytes) {
  const Digest digest = sha256(bytes);
  const std::size_t size = bytes.size();
  COPPICE_TRY_VOID(enqueue(Entry{Blob{std::move(bytes)}, 1, size}));
  return digest;
}

bool LogWriter::full() const {
  return waiting_rows_ > 0 &&
         (waiting_rows_ >= options_.queue_rows || waiting_bytes_ >= options_.queue_bytes);
}

Result<EventSeq> LogWriter::enqueue(Entry entry) {
  EventSeq last;
  {
    const MutexLock lock(mutex_);
    if (usable().ok() && full()) {
      const auto start = steady_clock::now();
      const auto deadline = after(options_.patience);
      while (usable().ok() && full()) {
        if (room_.wait_until(mutex_, deadline) == std::cv_status::timeout && full()) {
          return too_slow("waiting for room in the queue", options_.patience);
        }
      }
      figures_.blocked += since(start);
    }
    COPPICE_TRY_VOID(usable());
    if (queue_.empty()) {
      oldest_ = steady_clock::now();
    }
    const std::size_t before = queued_rows_;
    queued_rows_ += entry.rows;
    waiting_rows_ += entry.rows;
    waiting_bytes_ += entry.bytes;
    taken_in_ += entry.rows;
    if (!std::holds_alternative<Blob>(entry.what)) {
      next_event_ += entry.rows;
    }
    last = EventSeq{next_event_ - 1};
    queue_.push_back(std::move(entry));
    // The thread sleeps until the group's age; wake it for the first entry and for a full group.
    const bool first = before == 0;
    const bool filled = before < options_.group_rows && queued_rows_ >= options_.group_rows;
    if (!first && !filled) {
      return last;
    }
  }
  work_.notify_one();
  return last;
}

Result<void> LogWriter::wait(EventSeq seq) {
  const MutexLock lock(mutex_);
  const auto deadline = after(options_.patience);
  if (seq.value >= next_event_) {
    return Error{ErrorCode::config,
                 "experiment log: event " + std::to_string(seq.value) + " was never appended"};
  }
  wanted_ = taken_in_;
  work_.notify_one();
  while (durable_event_ < seq.value) {
    if (failure_) {
      return *failure_;
    }
    if (progress_.wait_until(mutex_, deadline) == std::cv_status::timeout &&
        durable_event_ < seq.value) {
      return too_slow("making an event durable", options_.patience);
    }
  }
  return {};
}

Result<void> LogWriter::flush() {
  const MutexLock lock(mutex_);
  const auto deadline = after(options_.patience);
  const std::uint64_t target = taken_in_;
  wanted_ = target;
  work_.notify_one();
  while (settled_ < target) {
    if (failure_) {
      return *failure_;
    }
    if (progress_.wait_until(mutex_, deadline) == std::cv_status::timeout && settled_ < target) {
      return too_slow("making the log durable", options_.patience);
    }
  }
  return {};
}

EventSeq LogWriter::durable() const {
  const MutexLock lock(mutex_);
  return EventSeq{durable_event_};
}

std::optional<Error> LogWriter::failure() const {
  const MutexLock lock(mutex_);
  return failure_;
}

LogWriter::Figures LogWriter::figures() const {
  const MutexLock lock(mutex_);
  return figures_;
}

Result<void> LogWriter::close() {
  {
    const MutexLock lock(mutex_);
    if (stopping_) {
      return usable();
    }
  }
  stop(false);
  const auto closed = log_.close();
  const MutexLock lock(mutex_);
  return failure_ ? Result<void>(*failure_) : closed;
}

bool LogWriter::group_due(Time now) const {
  return !queue_.empty() && (queued_rows_ >= options_.group_rows || wanted_ > settled_ ||
                             now - oldest_ >= options_.group_age);
}

bool LogWriter::take_group(std::deque<Entry>& group) {
  const MutexLock lock(mutex_);
  while (!stopping_ && !group_due(steady_clock::now())) {
    if (queue_.empty()) {
      work_.wait(mutex_);
    } else {
      work_.wait_until(
          mutex_, oldest_ + std::chrono::duration_cast<steady_clock::duration>(options_.group_age));
    }
  }
  if (dropping_ || queue_.empty()) {
    return false;
  }
  group.swap(queue_);
  queued_rows_ = 0;
  return true;
}

Result<void> LogWriter::write_group(std::deque<Entry> group) {
  std::size_t rows = 0;
  for (Entry& entry : group) {
    if (const auto* blob = std::get_if<Blob>(&entry.what)) {
      COPPICE_TRY_VOID(log_.put_blob(blob->bytes));
    } else if (auto* bytes = std::get_if<std::string>(&entry.what)) {
      COPPICE_TRY_VOID(log_.append_encoded(std::move(*bytes)));
    } else {
      for (const Event& event : std::get<std::vector<Event>>(entry.what)) {
        COPPICE_TRY_VOID(log_.append(event));
      }
    }
    entry.what = std::string();  // its memory goes now, not with the whole group
    rows += entry.rows;
    if (rows >= kRowsPerCommit) {
      COPPICE_TRY_VOID(log_.commit());
      rows = 0;
    }
  }
  return log_.commit();
}

void LogWriter::work() {
  std::deque<Entry> group;
  while (take_group(group)) {
    std::size_t rows = 0;
    std::size_t bytes = 0;
    std::size_t blobs = 0;
    for (const Entry& entry : group) {
      rows += entry.rows;
      bytes += entry.bytes;
      blobs += std::holds_alternative<Blob>(entry.what) ? 1U : 0U;
    }
    const auto start = steady_clock::now();
    const auto written = write_group(std::exchange(group, {}));
    {
      const MutexLock lock(mutex_);
      waiting_rows_ -= rows;
      waiting_bytes_ -= bytes;
      durable_event_ = log_.durable().value;
      if (written.ok()) {
        settled_ += rows;
        figures_.commits += 1;
        figures_.rows += rows - blobs;
        figures_.blobs += blobs;
        figures_.committing += since(start);
      } else {
        failure_ = written.error();
        queue_.clear();
      }
    }
    room_.notify_all();
    progress_.notify_all();
    if (!written.ok()) {
      return;
    }
  }
}

}  // namespace coppice::archive
