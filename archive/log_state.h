// What an open ExperimentLog holds; shared by its writing and its reading half.
#pragma once

#include "archive/checkpoint_file.h"
#include "archive/experiment_log.h"
#include "archive/run_lock.h"
#include "archive/sqlite.h"

#include <set>

namespace coppice::archive {

struct PendingEvent {
  std::uint64_t seq = 0;
  Nanoseconds written{};
  std::string bytes;
  Digest chain;
};

struct PendingBlob {
  Digest digest;
  std::uint64_t size = 0;
  bool compressed = false;
  std::string content;
};

struct ExperimentLog::State {
  std::string directory;
  Mode mode = Mode::read;
  LogOptions options;
  std::optional<RunLock> lock;  // declared before the database: released after it
  std::optional<Database> database;
  std::optional<Statement> insert_event, insert_blob;  // destroyed before the database
  std::optional<CheckpointFile> checkpoints;
  std::vector<Checkpoint> known;  // as read at open: compared with the tail

  std::uint64_t durable = 0;  // writer: last committed event
  Digest durable_head;
  std::uint64_t next = 1;  // writer: place of the next event, queue included
  Digest next_head;
  std::vector<PendingEvent> events;
  std::vector<PendingBlob> blobs;
  std::set<Digest> pending_digests;
  std::size_t pending_bytes = 0;
  int commits_since_sync = 0;
  std::uint64_t checkpointed = 0;
  std::optional<Error> poison;

  std::string path(std::string_view name) const { return directory + "/" + std::string(name); }
  Result<void> may_write() const;
  Result<void> start_writing();  // after the checks: head, checkpoint of this opening
  Result<void> write_checkpoint(bool sync);
  static Result<std::uint64_t> count(const State& state);
  Result<void> write_group();
  void drop_group();
  bool group_full() const {
    return events.size() + blobs.size() >= options.max_group_rows ||
           pending_bytes >= options.max_group_bytes;
  }
  Nanoseconds now() const { return options.wall_clock(); }
  Result<Digest> chain_at(std::uint64_t seq) const;  // zero at 0; corrupt when missing
  Result<std::vector<LogRow>> read_batch(std::uint64_t first) const;
};

// A read connection that also works on media where nothing can be written.
Result<Database> open_log_for_reading(const std::string& path);

inline constexpr std::string_view kLogFile = "log.sqlite";
inline constexpr std::string_view kCheckpointsFile = "checkpoints.txt";
inline constexpr std::string_view kLockFile = "lock";

inline std::string_view view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}
Result<Digest> digest_of(std::string_view bytes);  // 32 raw bytes

}  // namespace coppice::archive
