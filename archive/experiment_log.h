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

// The chain of event `seq`; the one before event 1 is all zeros.
Digest next_chain(std::uint64_t seq, const Digest& previous, std::string_view bytes);

struct ChainStatus {
  std::uint64_t events = 0;
  Digest head;
  bool ok = false;
  std::string message;  // where and how it is broken
};

struct LogOptions {
  std::function<Nanoseconds()> wall_clock;  // empty: the system's
  // Each commit writes a checkpoint; every so many commits it is also synced (and at open and
  // close).
  int commits_per_checkpoint_sync = 32;
  // A group that reaches one of these is committed by append() or put_blob() itself.
  std::size_t max_group_rows = 4096;
  std::size_t max_group_bytes = 32U << 20U;
  // false: opens a damaged log too, for reading, so that verify() can say what is wrong.
  bool check = true;
};

// One writer process, any number of readers, also while it runs. An object is used by one thread at
// a time; LogWriter puts the writer behind a thread of its own.
class ExperimentLog {
 public:
  enum class Mode { create, append, read };

  // `directory` is the run's own folder: log.sqlite, checkpoints.txt (head hashes in a second
  // place) and lock. Compares the newest rows and the last checkpoint. Errors: busy (another
  // writer, with its pid), corrupt (chain or checkpoint disagrees, with the seq), missing, io
  // (read-only, full disk), environment (written by a newer version), config (create: there is a
  // log already).
  static Result<ExperimentLog> open(const std::string& directory,
                                    Mode mode,
                                    LogOptions options = {});
  ExperimentLog(ExperimentLog&&) noexcept;
  ExperimentLog& operator=(ExperimentLog&&) noexcept;
  ~ExperimentLog();  // drops what was not committed

  // Queues an event for the current group and returns its place. Nothing is durable before
  // commit().
  Result<EventSeq> append(const Event& event);
  Result<EventSeq> append_encoded(std::string bytes);  // bytes as encode() makes them
  // Keeps a text once; compressed. Part of the same group as the events around it.
  Result<Digest> put_blob(std::string_view bytes);
  // Makes everything queued durable (fsync) in one transaction. On error nothing of the group is
  // kept, and this object refuses further writes: reopen to recover.
  Result<void> commit();
  // commit(), a synced checkpoint, and the lock given back; reads and writes are over.
  Result<void> close();
  // Nothing is written or read for a while: gives memory back.
  void rest() const;
  EventSeq durable() const;  // last committed place
  Digest head() const;       // chain of durable()

  Result<std::string> blob(
      const Digest& digest) const;  // checks the digest; corrupt or missing otherwise
  Result<bool> has_blob(const Digest& digest) const;
  Result<std::uint64_t> size() const;  // committed events
  // Visits committed events from `first` on, in order, in short read transactions. The visitor
  // returns false to stop. A row whose chain does not follow is an error naming its seq.
  Result<void> visit(EventSeq first,
                     const std::function<Result<bool>(const LogRow&)>& visitor) const;
  Result<LogRow> row(EventSeq seq) const;  // one row, its chain checked against the row before
  Result<ChainStatus> verify() const;      // the whole chain and the checkpoints
  // Every blob against its digest, and SQLite's own integrity check. Slow: reads the whole file.
  Result<void> verify_content() const;
  // A copy of the committed state, taken in one read transaction while the writer goes on:
  // log.sqlite and checkpoints.txt in `directory` (made; must be empty). Returns what it holds.
  Result<ChainStatus> snapshot(const std::string& directory) const;
  const std::string& directory() const;

 private:
  struct State;
  explicit ExperimentLog(std::unique_ptr<State> state);
  Result<void> check_tail() const;
  std::unique_ptr<State> state_;
};

}  // namespace coppice::archive
