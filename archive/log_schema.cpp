// The log's tables.
#include "archive/log_schema.h"

#include <algorithm>
#include <array>
#include <string>

namespace coppice::archive {

namespace {

// Bytes on disk, version 1. `events` is the log: `bytes` is one line of JSON (core/event.h),
// `chain` as ExperimentLog says, `written` nanoseconds since the epoch. `blobs` are texts by
// SHA-256; codec 0 = as is, 1 = one zstd frame of `size` bytes. A rowid table with an index writes
// pages in order; a table clustered by hash would write all over the file. The triggers stop
// accidents; the chain shows what they could not stop. REPLACE fires the delete trigger
// (recursive_triggers).
constexpr std::array<std::string_view, 9> kStatements = {
    "CREATE TABLE events(seq INTEGER PRIMARY KEY, written INTEGER NOT NULL, bytes TEXT NOT NULL, "
    "chain BLOB NOT NULL, CHECK(seq > 0), CHECK(length(chain) = 32)) STRICT",
    "CREATE TABLE blobs(id INTEGER PRIMARY KEY, digest BLOB NOT NULL, size INTEGER NOT NULL, "
    "codec INTEGER NOT NULL, content BLOB NOT NULL, CHECK(length(digest) = 32), "
    "CHECK(codec IN (0, 1))) STRICT",
    "CREATE UNIQUE INDEX blobs_digest ON blobs(digest)",
    "CREATE TRIGGER events_in_order BEFORE INSERT ON events WHEN NEW.seq <> 1 + "
    "(SELECT coalesce(max(seq), 0) FROM events) BEGIN SELECT RAISE(ABORT, 'events are numbered "
    "without gaps'); END",
    "CREATE TRIGGER events_never_change BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log "
    "is append-only'); END",
    "CREATE TRIGGER events_never_go BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the log is "
    "append-only'); END",
    "CREATE TRIGGER blobs_never_change BEFORE UPDATE ON blobs BEGIN SELECT RAISE(ABORT, 'the log "
    "is append-only'); END",
    "CREATE TRIGGER blobs_never_go BEFORE DELETE ON blobs BEGIN SELECT RAISE(ABORT, 'the log is "
    "append-only'); END",
    // Readers of other programs find the meaning in the file itself.
    "CREATE VIEW about AS SELECT 'coppice experiment log 1: events.chain = "
    "SHA-256(\"coppice-log-1\""
    " 00 | seq, 8 bytes big-endian | chain before | bytes)' AS text",
};

Error differs(const Database& database, const std::string& what) {
  return Error{ErrorCode::corrupt,
               database.path() + ": expected the tables of a coppice log, found " + what};
}

}  // namespace

Result<SchemaState> check_log_schema(const Database& database) {
  COPPICE_TRY(const std::int64_t version, database.integer("PRAGMA user_version"));
  COPPICE_TRY(const std::int64_t application, database.integer("PRAGMA application_id"));
  COPPICE_TRY(Statement statement,
              database.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL "
                               "ORDER BY name"));
  if (application == kLogApplicationId && version > kLogSchema) {
    return Error{ErrorCode::environment,
                 database.path() + ": written by a newer coppice (schema " +
                     std::to_string(version) + ", this one reads up to " +
                     std::to_string(kLogSchema) + "); update coppice to read it"};
  }
  std::size_t found = 0;
  while (true) {
    COPPICE_TRY(const bool row, statement.step());
    if (!row) {
      break;
    }
    if (std::ranges::find(kStatements, statement.bytes(1)) == kStatements.end()) {
      return differs(database, "another definition of \"" + std::string(statement.bytes(0)) + "\"");
    }
    ++found;
  }
  if (found == 0 && version == 0 && application == 0) {
    return SchemaState::absent;
  }
  if (found != kStatements.size()) {
    return differs(database, std::to_string(found) + " of " + std::to_string(kStatements.size()));
  }
  if (application != kLogApplicationId || version != kLogSchema) {
    return differs(
        database,
        "schema " + std::to_string(version) + " of application " + std::to_string(application));
  }
  return SchemaState::present;
}

Result<void> create_log_schema(const Database& database) {
  COPPICE_TRY_VOID(database.run("BEGIN IMMEDIATE"));
  for (const std::string_view statement : kStatements) {
    COPPICE_TRY_VOID(database.run(statement));
  }
  COPPICE_TRY_VOID(database.run("PRAGMA application_id=" + std::to_string(kLogApplicationId)));
  COPPICE_TRY_VOID(database.run("PRAGMA user_version=" + std::to_string(kLogSchema)));
  return database.run("COMMIT");
}

}  // namespace coppice::archive
