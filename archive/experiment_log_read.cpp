// ExperimentLog, the reading half: rows, blobs, verification, snapshots.
#include "archive/compression.h"
#include "archive/experiment_log.h"
#include "archive/log_schema.h"
#include "archive/log_state.h"

#include <unistd.h>

#include <algorithm>

namespace coppice::archive {

namespace {

constexpr std::uint64_t kBatchRows = 512;
constexpr std::size_t kBatchBytes = 4U << 20U;
constexpr std::uint64_t kTailRows = 64;
constexpr std::int64_t kMaxBlob = 1LL << 30;

Error corrupt_event(const std::string& path, std::uint64_t seq, std::string_view what) {
  return Error{ErrorCode::corrupt,
               path + ": event " + std::to_string(seq) + ": " + std::string(what)};
}

LogRow read_row(const Statement& statement, Digest chain) {
  return LogRow{EventSeq{static_cast<std::uint64_t>(statement.integer(0))},
                Nanoseconds(statement.integer(1)),
                std::string(statement.bytes(2)),
                chain};
}

// What a checkpoint says against what the log has at that place.
std::optional<std::string> disagreement(const Checkpoint& checkpoint, const Digest& chain) {
  if (checkpoint.head == chain) {
    return std::nullopt;
  }
  return "is not the one that checkpoints.txt names: expected chain " +
         checkpoint.head.hex().substr(0, 12) + ", found " + chain.hex().substr(0, 12) +
         " (the tail was replaced or recomputed)";
}

std::string shortened(std::uint64_t have, std::uint64_t known) {
  return "checkpoints.txt knows " + std::to_string(known) + " events, the log has " +
         std::to_string(have) + " (its tail is gone)";
}

}  // namespace

Result<Digest> digest_of(std::string_view bytes) {
  Digest out;
  if (bytes.size() != out.bytes.size()) {
    return Error{ErrorCode::corrupt,
                 "expected a digest of 32 bytes, found " + std::to_string(bytes.size())};
  }
  std::copy_n(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), out.bytes.data());
  return out;
}

Result<Database> open_log_for_reading(const std::string& path) {
  const auto attempt = [&path](Database::Access access) -> Result<Database> {
    COPPICE_TRY(Database database, Database::open(path, access));
    COPPICE_TRY(const SchemaState state, check_log_schema(database));
    if (state == SchemaState::absent) {
      return Error{ErrorCode::missing,
                   path + ": expected a log, found one whose creation was cut off"};
    }
    return database;
  };
  auto usual = attempt(Database::Access::read);
  if (usual.ok() || usual.error().code != ErrorCode::io || ::access(path.c_str(), R_OK) != 0) {
    return usual;
  }
  // Read-only media: without a WAL the file can't change, and SQLite needs no shared memory.
  const auto wal = file_size(path + "-wal");
  if (!wal.ok() || wal.value() == 0) {
    return attempt(Database::Access::read_frozen);
  }
  return Error{ErrorCode::io,
               usual.error().message + "; its newest events are still in " + path +
                   "-wal: copy the run's folder to a place where it can be written, and open that"};
}

Result<std::uint64_t> ExperimentLog::State::count(const State& state) {
  COPPICE_TRY(const std::int64_t last,
              state.database->integer("SELECT coalesce(max(seq), 0) FROM events"));
  return static_cast<std::uint64_t>(last);
}

Result<Digest> ExperimentLog::State::chain_at(std::uint64_t seq) const {
  if (seq == 0) {
    return Digest{};
  }
  COPPICE_TRY(Statement statement, database->prepare("SELECT chain FROM events WHERE seq = ?1"));
  statement.bind(1, static_cast<std::int64_t>(seq));
  COPPICE_TRY(const bool found, statement.step());
  if (!found) {
    return corrupt_event(database->path(), seq, "missing");
  }
  return digest_of(statement.bytes(0)).within(database->path());
}

Result<std::vector<LogRow>> ExperimentLog::State::read_batch(std::uint64_t first) const {
  COPPICE_TRY(Statement statement,
              database->prepare("SELECT seq, written, bytes, chain FROM events WHERE seq >= ?1 "
                                "ORDER BY seq LIMIT ?2"));
  statement.bind(1, static_cast<std::int64_t>(first)).bind(2, kBatchRows);
  std::vector<LogRow> rows;
  std::size_t bytes = 0;
  while (bytes < kBatchBytes) {
    COPPICE_TRY(const bool more, statement.step());
    if (!more) {
      break;
    }
    COPPICE_TRY(const Digest chain, digest_of(statement.bytes(3)).within(database->path()));
    rows.push_back(read_row(statement, chain));
    bytes += rows.back().bytes.size();
  }
  return rows;
}

Result<void> ExperimentLog::visit(EventSeq first,
                                  const std::function<Result<bool>(const LogRow&)>& visitor) const {
  std::uint64_t next = std::max<std::uint64_t>(first.value, 1);
  COPPICE_TRY(const std::uint64_t count, State::count(*state_));
  if (next > count) {
    return {};
  }
  COPPICE_TRY(Digest chain, state_->chain_at(next - 1));
  while (true) {
    // The batch is read whole, then the statement is over: a slow visitor never holds the WAL back.
    COPPICE_TRY(const std::vector<LogRow> rows, state_->read_batch(next));
    if (rows.empty()) {
      return {};
    }
    for (const LogRow& row : rows) {
      if (row.seq.value != next) {
        return corrupt_event(state_->database->path(), next, "missing");
      }
      chain = next_chain(next, chain, row.bytes);
      if (chain != row.chain) {
        return corrupt_event(state_->database->path(),
                             next,
                             "its chain does not follow (it or the event before it was changed)");
      }
      ++next;
      COPPICE_TRY(const bool go_on, visitor(row));
      if (!go_on) {
        return {};
      }
    }
  }
}

Result<LogRow> ExperimentLog::row(EventSeq seq) const {
  std::optional<LogRow> out;
  COPPICE_TRY_VOID(visit(seq, [&out](const LogRow& row) -> Result<bool> {
    out = row;
    return false;
  }));
  if (!out || out->seq != seq) {
    return Error{ErrorCode::missing,
                 state_->database->path() + ": event " + std::to_string(seq.value) +
                     ": expected it, found only " + std::to_string(state_->durable)};
  }
  return *out;
}

Result<std::uint64_t> ExperimentLog::size() const {
  return State::count(*state_);
}

Result<bool> ExperimentLog::has_blob(const Digest& digest) const {
  COPPICE_TRY(Statement statement,
              state_->database->prepare("SELECT 1 FROM blobs WHERE digest = ?1"));
  statement.bind_blob(1, view(digest));
  return statement.step();
}

Result<std::string> ExperimentLog::blob(const Digest& digest) const {
  const std::string& path = state_->database->path();
  const std::string place = path + ": blob " + digest.hex();
  COPPICE_TRY(
      Statement statement,
      state_->database->prepare("SELECT size, codec, content FROM blobs WHERE digest = ?1"));
  statement.bind_blob(1, view(digest));
  COPPICE_TRY(const bool found, statement.step());
  if (!found) {
    return Error{ErrorCode::missing, place + ": expected it, found nothing"};
  }
  const std::int64_t size = statement.integer(0);
  if (size < 0 || size > kMaxBlob) {
    return Error{ErrorCode::corrupt, place + ": size " + std::to_string(size) + " can't be"};
  }
  std::string content(statement.bytes(2));
  if (statement.integer(1) == 1) {
    COPPICE_TRY(content, decompress(content, static_cast<std::uint64_t>(size)).within(place));
  }
  if (sha256(content) != digest) {
    return Error{ErrorCode::corrupt, place + ": its content has another digest"};
  }
  return content;
}

Result<void> ExperimentLog::check_tail() const {
  const State& s = *state_;
  const std::string& path = s.database->path();
  if (!s.known.empty()) {
    const Checkpoint& last = s.known.back();
    if (last.count > s.durable) {
      return Error{ErrorCode::corrupt, path + ": " + shortened(s.durable, last.count)};
    }
    COPPICE_TRY(const Digest chain, s.chain_at(last.count));
    if (const auto wrong = disagreement(last, chain)) {
      return corrupt_event(path, last.count, *wrong);
    }
  }
  const std::uint64_t first = s.durable > kTailRows ? s.durable - kTailRows + 1 : 1;
  const std::uint64_t until = s.durable;
  return visit(EventSeq{first},
               [until](const LogRow& row) -> Result<bool> { return row.seq.value < until; });
}

Result<ChainStatus> ExperimentLog::verify() const {
  const std::string& path = state_->database->path();
  ChainStatus status;
  auto known = read_checkpoints(state_->path(kCheckpointsFile));  // before the rows: they may grow
  if (!known.ok()) {
    status.message = known.error().message;
    return status;
  }
  auto next = known.value().begin();
  const auto compare = [&]() -> std::optional<std::string> {
    while (next != known.value().end() && next->count == status.events) {
      if (auto wrong = disagreement(*next, status.head)) {
        return wrong;
      }
      ++next;
    }
    return std::nullopt;
  };
  std::optional<std::string> wrong = compare();
  const auto visited = visit(EventSeq{1}, [&](const LogRow& row) -> Result<bool> {
    status.events = row.seq.value;
    status.head = row.chain;
    wrong = compare();
    return !wrong.has_value();
  });
  if (!visited.ok()) {
    if (visited.error().code != ErrorCode::corrupt) {
      return visited.error();
    }
    status.message = visited.error().message;
  } else if (wrong) {
    status.message = corrupt_event(path, status.events, *wrong).message;
  } else if (next != known.value().end()) {
    status.message = path + ": " + shortened(status.events, known.value().back().count);
  }
  status.ok = status.message.empty();
  return status;
}

Result<void> ExperimentLog::verify_content() const {
  const Database& database = *state_->database;
  COPPICE_TRY(const std::string integrity, database.text("PRAGMA integrity_check(1)"));
  if (integrity != "ok") {
    return Error{ErrorCode::corrupt, database.path() + ": " + integrity};
  }
  std::vector<Digest> digests;
  COPPICE_TRY(Statement statement, database.prepare("SELECT digest FROM blobs ORDER BY id"));
  while (true) {
    COPPICE_TRY(const bool more, statement.step());
    if (!more) {
      break;
    }
    COPPICE_TRY(const Digest digest, digest_of(statement.bytes(0)).within(database.path()));
    digests.push_back(digest);
  }
  for (const Digest& digest : digests) {
    COPPICE_TRY(const std::string content, blob(digest));
  }
  return {};
}

}  // namespace coppice::archive
