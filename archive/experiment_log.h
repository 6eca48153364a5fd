// ExperimentLog: the append-only, hash-chained event log of one run in one SQLite file; the truth.
#pragma once

#include "core/digest.h"
#include "core/event.h"
#include "core/result.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::archive {

struct LogRow {
  EventSeq seq;           // 1, 2, 3, ...
  Nanoseconds written{};  // wall clock since the epoch: for people, outside the chain's meaning
  std::string bytes;      // encode(event)
  Digest
      chain;  // SHA-256("coppice-log-1" 0x00 | seq as 8 bytes big-endian | previous chain | bytes)
};

struct ChainStatus {
  std::uint64_t events = 0;
  Digest head;
  bool ok = false;
  std::string message;  // where and how it is broken
};

// One writer process, any number of readers, also while it runs. The writer object is used by one
// thread.
class ExperimentLog {
 public:
  enum class Mode { create, append, read };

  // `directory` is the run's own folder: log.sqlite, checkpoints.txt (head hashes in a second
  // place) and lock. Errors: busy (another writer, with its pid), corrupt (chain or checkpoint
  // disagrees, with the seq), missing, io (read-only, full disk).
  static Result<ExperimentLog> open(const std::string& directory, Mode mode);
  ExperimentLog(ExperimentLog&&) noexcept;
  ExperimentLog& operator=(ExperimentLog&&) noexcept;
  ~ExperimentLog();

  // Queues an event for the current group and returns its place. Nothing is durable before
  // commit().
  Result<EventSeq> append(const Event& event);
  // Keeps a text once; compressed. Part of the same group as the events around it.
  Result<Digest> put_blob(std::string_view bytes);
  // Makes everything queued durable (fsync) in one transaction. On error nothing of the group is
  // kept, and this object refuses further writes: reopen to recover.
  Result<void> commit();
  EventSeq durable() const;  // last committed place

  Result<std::string> blob(
      const Digest& digest) const;  // checks the digest; corrupt or missing otherwise
  Result<bool> has_blob(const Digest& digest) const;
  Result<std::uint64_t> size() const;  // committed events
  // Visits committed events from `first` on, in order, in short read transactions. The visitor
  // returns false to stop. A row whose chain does not follow is an error naming its seq.
  Result<void> visit(EventSeq first,
                     const std::function<Result<bool>(const LogRow&)>& visitor) const;
  Result<ChainStatus> verify() const;  // the whole chain and the checkpoints

 private:
  struct State;
  explicit ExperimentLog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coppice::archive
