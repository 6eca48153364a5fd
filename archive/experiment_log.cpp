// ExperimentLog, the writing half: opening, queueing, committing.
#include "archive/experiment_log.h"

#include "archive/compression.h"
#include "archive/log_schema.h"
#include "archive/log_state.h"

#include <chrono>
#include <utility>

namespace coppice::archive {

namespace {

Nanoseconds system_now() {
  return std::chrono::duration_cast<Nanoseconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

// FULL: a commit returns after the WAL is synced. Read back, since builds and file systems differ.
Result<void> make_durable(const Database& database) {
  COPPICE_TRY(const std::string mode, database.text("PRAGMA journal_mode=WAL"));
  if (mode != "wal") {
    return Error{ErrorCode::io,
                 database.path() + ": expected WAL mode, found \"" + mode +
                     "\" (does this file system support shared memory?)"};
  }
  COPPICE_TRY_VOID(database.run("PRAGMA synchronous=FULL"));
  COPPICE_TRY(const std::int64_t synchronous, database.integer("PRAGMA synchronous"));
  if (synchronous != 2) {
    return Error{
        ErrorCode::io,
        database.path() + ": expected synchronous=2, found " + std::to_string(synchronous)};
  }
  return database.run("PRAGMA journal_size_limit=67108864");
}

// Leaves log and checkpoint file as an empty run; an interrupted creation is taken up again.
Result<Database> create_files(const std::string& log, const std::string& checkpoints) {
  if (exists(checkpoints)) {
    COPPICE_TRY(const auto known, read_checkpoints(checkpoints));
    if (!known.empty() && known.back().count > 0 && !exists(log)) {
      return Error{ErrorCode::corrupt, log + ": missing, but " + checkpoints + " knows its events"};
    }
  } else {
    COPPICE_TRY_VOID(CheckpointFile::create(checkpoints));
  }
  COPPICE_TRY(Database database, Database::open(log, Database::Access::create));
  COPPICE_TRY(const SchemaState state, check_log_schema(database));
  if (state == SchemaState::present) {
    return Error{ErrorCode::config, log + ": expected no log, found one"};
  }
  COPPICE_TRY_VOID(make_durable(database));
  COPPICE_TRY_VOID(create_log_schema(database));
  return database;
}

Result<Database> open_for_writing(const std::string& log) {
  COPPICE_TRY(Database database, Database::open(log, Database::Access::write));
  COPPICE_TRY(const SchemaState state, check_log_schema(database));
  if (state == SchemaState::absent) {
    return Error{ErrorCode::missing,
                 log + ": expected a log, found one whose creation was cut off"};
  }
  COPPICE_TRY_VOID(make_durable(database));
  return database;
}

Result<Database> open_for_mode(const std::string& log,
                               const std::string& checkpoints,
                               ExperimentLog::Mode mode) {
  switch (mode) {
    case ExperimentLog::Mode::create:
      return create_files(log, checkpoints);
    case ExperimentLog::Mode::append:
      return open_for_writing(log);
    case ExperimentLog::Mode::read:
      return open_log_for_reading(log);
  }
  COPPICE_UNREACHABLE();
}

}  // namespace

Digest next_chain(std::uint64_t seq, const Digest& previous, std::string_view bytes) {
  static constexpr std::string_view kTag("coppice-log-1\0", 14);
  std::string text;
  text.reserve(kTag.size() + 8 + previous.bytes.size() + bytes.size());
  text += kTag;
  for (int shift = 56; shift >= 0; shift -= 8) {
    text += static_cast<char>(static_cast<unsigned char>(seq >> static_cast<unsigned>(shift)));
  }
  text += view(previous);
  text += bytes;
  return sha256(text);
}

ExperimentLog::ExperimentLog(std::unique_ptr<State> state) : state_(std::move(state)) {}
ExperimentLog::ExperimentLog(ExperimentLog&&) noexcept = default;
ExperimentLog& ExperimentLog::operator=(ExperimentLog&&) noexcept = default;
ExperimentLog::~ExperimentLog() = default;

Result<ExperimentLog> ExperimentLog::open(const std::string& directory,
                                          Mode mode,
                                          LogOptions options) {
  auto state = std::make_unique<State>();
  state->directory = directory;
  state->mode = mode;
  state->options = std::move(options);
  if (!state->options.wall_clock) {
    state->options.wall_clock = system_now;
  }
  const std::string log = state->path(kLogFile);
  const std::string checkpoints = state->path(kCheckpointsFile);
  if (mode == Mode::create) {
    COPPICE_TRY_VOID(make_directories(directory));
  } else if (!exists(log)) {
    return Error{ErrorCode::missing, log + ": expected the log of a run, found nothing"};
  }
  if (mode != Mode::read) {
    COPPICE_TRY(RunLock lock, RunLock::acquire(state->path(kLockFile)));
    state->lock.emplace(std::move(lock));
  }
  // Checkpoints before log: a writer may go on meanwhile, and the log may only be ahead.
  if (mode != Mode::create && state->options.check) {
    COPPICE_TRY(state->known, read_checkpoints(checkpoints));
  }
  COPPICE_TRY(Database database, open_for_mode(log, checkpoints, mode));
  state->database.emplace(std::move(database));
  COPPICE_TRY(state->durable, ExperimentLog::State::count(*state));
  ExperimentLog out(std::move(state));
  if (out.state_->options.check) {
    COPPICE_TRY_VOID(out.check_tail());
  }
  if (mode == Mode::read) {
    return out;
  }
  COPPICE_TRY_VOID(out.state_->start_writing());
  return out;
}

Result<void> ExperimentLog::State::start_writing() {
  COPPICE_TRY(durable_head, chain_at(durable));
  next = durable + 1;
  next_head = durable_head;
  COPPICE_TRY(CheckpointFile file, CheckpointFile::open(path(kCheckpointsFile)));
  checkpoints.emplace(std::move(file));
  checkpointed = known.empty() ? ~std::uint64_t{0} : known.back().count;
  COPPICE_TRY_VOID(write_checkpoint(true));
  known.clear();
  return sync_directory(directory);
}

Result<void> ExperimentLog::State::write_checkpoint(bool sync) {
  if (checkpointed == durable && !sync) {
    return {};
  }
  if (checkpointed != durable) {
    COPPICE_TRY_VOID(checkpoints->append({durable, durable_head, now()}, sync));
  } else {
    COPPICE_TRY_VOID(checkpoints->sync());
  }
  checkpointed = durable;
  commits_since_sync = sync ? 0 : commits_since_sync + 1;
  return {};
}

Result<void> ExperimentLog::State::may_write() const {
  if (poison) {
    return poison->within("the log takes no more writes since an error; reopen it to recover");
  }
  if (mode == Mode::read || !database) {
    return Error{ErrorCode::config, directory + ": this log is open for reading only"};
  }
  return {};
}

Result<EventSeq> ExperimentLog::append(const Event& event) {
  return append_encoded(encode(event));
}

Result<EventSeq> ExperimentLog::append_encoded(std::string bytes) {
  COPPICE_TRY_VOID(state_->may_write());
  State& s = *state_;
  const Digest chain = next_chain(s.next, s.next_head, bytes);
  s.pending_bytes += bytes.size();
  s.events.push_back({s.next, s.now(), std::move(bytes), chain});
  s.next_head = chain;
  const EventSeq seq{s.next++};
  if (s.group_full()) {
    COPPICE_TRY_VOID(commit());
  }
  return seq;
}

Result<Digest> ExperimentLog::put_blob(std::string_view bytes) {
  COPPICE_TRY_VOID(state_->may_write());
  State& s = *state_;
  const Digest digest = sha256(bytes);
  if (s.pending_digests.contains(digest)) {
    return digest;
  }
  COPPICE_TRY(const bool kept, has_blob(digest));
  if (kept) {
    return digest;
  }
  PendingBlob blob{digest, bytes.size(), true, compress(bytes)};
  if (blob.content.size() >= bytes.size()) {
    blob.compressed = false;
    blob.content = std::string(bytes);
  }
  s.pending_bytes += blob.content.size();
  s.pending_digests.insert(digest);
  s.blobs.push_back(std::move(blob));
  if (s.group_full()) {
    COPPICE_TRY_VOID(commit());
  }
  return digest;
}

Result<void> ExperimentLog::State::write_group() {
  COPPICE_TRY_VOID(database->run("BEGIN IMMEDIATE"));
  if (!insert_event) {
    COPPICE_TRY(Statement event,
                database->prepare("INSERT INTO events(seq, written, bytes, chain) "
                                  "VALUES(?1, ?2, ?3, ?4)"));
    COPPICE_TRY(Statement blob,
                database->prepare("INSERT INTO blobs(digest, size, codec, content) "
                                  "VALUES(?1, ?2, ?3, ?4)"));
    insert_event.emplace(std::move(event));
    insert_blob.emplace(std::move(blob));
  }
  for (const PendingBlob& blob : blobs) {
    insert_blob->bind_blob(1, view(blob.digest)).bind(2, static_cast<std::int64_t>(blob.size));
    insert_blob->bind(3, blob.compressed ? 1 : 0).bind_blob(4, blob.content);
    const auto done = insert_blob->step();
    insert_blob->reset();
    COPPICE_TRY_VOID(done);
  }
  for (const PendingEvent& event : events) {
    insert_event->bind(1, static_cast<std::int64_t>(event.seq)).bind(2, event.written.count());
    insert_event->bind_text(3, event.bytes).bind_blob(4, view(event.chain));
    const auto done = insert_event->step();
    insert_event->reset();
    COPPICE_TRY_VOID(done);
  }
  return database->run("COMMIT");
}

void ExperimentLog::State::drop_group() {
  events.clear();
  blobs.clear();
  pending_digests.clear();
  pending_bytes = 0;
}

Result<void> ExperimentLog::commit() {
  COPPICE_TRY_VOID(state_->may_write());
  State& s = *state_;
  if (s.events.empty() && s.blobs.empty()) {
    return {};
  }
  const auto written = s.write_group();
  s.drop_group();
  if (!written.ok()) {
    s.poison = written.error();
    (void)s.database->run("ROLLBACK");  // may have happened already; the reopened log decides
    return written.error();
  }
  s.durable = s.next - 1;
  s.durable_head = s.next_head;
  // The group is durable whatever becomes of its checkpoint: trouble there stops the next write.
  const bool sync = s.commits_since_sync + 1 >= s.options.commits_per_checkpoint_sync;
  if (const auto noted = s.write_checkpoint(sync); !noted.ok()) {
    s.poison = noted.error();
  }
  return {};
}

void ExperimentLog::rest() const {
  if (state_->database) {
    state_->database->free_pages();
  }
}

Result<void> ExperimentLog::close() {
  State& s = *state_;
  Result<void> out;
  if (s.mode != Mode::read && s.database) {
    out = commit();
    if (out.ok() && s.poison) {
      out = *s.poison;
    }
    if (out.ok()) {
      out = s.write_checkpoint(true);
    }
  }
  s.insert_event.reset();
  s.insert_blob.reset();
  if (s.database) {
    const auto closed = s.database->close();
    out = out.ok() ? closed : out;
  }
  s.database.reset();
  s.checkpoints.reset();
  s.lock.reset();
  return out;
}

EventSeq ExperimentLog::durable() const {
  return EventSeq{state_->durable};
}

Digest ExperimentLog::head() const {
  return state_->durable_head;
}

const std::string& ExperimentLog::directory() const {
  return state_->directory;
}

}  // namespace coppice::archive
