// A narrow door to SQLite.
#include "archive/sqlite.h"

#include "archive/durable_file.h"

#include <sqlite3.h>

#include <cerrno>
#include <system_error>

namespace coppice::archive {

namespace {

ErrorCode code_of(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::busy;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
      return ErrorCode::corrupt;
    default:
      return ErrorCode::io;
  }
}

std::string_view hint_of(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return " (the disk is full: free space, then go on)";
    case SQLITE_READONLY:
      return " (the archive is read-only here)";
    case SQLITE_NOTADB:
      return " (not a log, or its first page is damaged)";
    default:
      return "";
  }
}

Error sqlite_error(sqlite3* connection, const std::string& path, int code) {
  const int last_error = errno;
  std::string message = path + ": " + (connection != nullptr ? sqlite3_errmsg(connection) : "") +
                        " [sqlite " + std::to_string(code) + "]";
  // SQLite does not note the system's reason on every path; then the last failed call's is there.
  const int noted = connection != nullptr ? sqlite3_system_errno(connection) : 0;
  const int system = noted != 0 ? noted : last_error;
  const int kind = code & 0xff;
  if (system != 0 && (kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN || kind == SQLITE_FULL)) {
    message += ": " + std::generic_category().message(system);
  }
  message += hint_of(code);
  if ((kind == SQLITE_IOERR) && (system == ENOSPC || system == EDQUOT || system == EFBIG)) {
    message += hint_of(SQLITE_FULL);
  }
  return Error{code_of(code), std::move(message)};
}

// A file: URI with everything escaped that could be read as syntax.
std::string uri_of(const std::string& path, std::string_view parameters) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
    } else {
      out += c;
    }
  }
  return out + std::string(parameters);
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const noexcept {
  sqlite3_finalize(statement);
}

Statement& Statement::bind(int position, std::int64_t value) {
  const int code = sqlite3_bind_int64(statement_.get(), position, value);
  COPPICE_CHECK(code == SQLITE_OK);
  return *this;
}

Statement& Statement::bind_text(int position, std::string_view text) {
  // step() reports what went wrong when a text is too long to bind (1 GB): the value stays NULL
  // and NOT NULL refuses it.
  sqlite3_bind_text64(
      statement_.get(), position, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_blob(int position, std::string_view bytes) {
  sqlite3_bind_blob64(
      statement_.get(), position, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}

Result<bool> Statement::step() {
  errno = 0;
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) {
    return true;
  }
  if (code == SQLITE_DONE) {
    return false;
  }
  sqlite3* connection = sqlite3_db_handle(statement_.get());
  return sqlite_error(connection, path_, sqlite3_extended_errcode(connection));
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view Statement::bytes(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? std::string_view()
                         : std::string_view(data, static_cast<std::size_t>(size));
}

void Database::Close::operator()(sqlite3* connection) const noexcept {
  sqlite3_close_v2(connection);
}

Result<Database> Database::open(const std::string& path, Access access) {
  const bool may_write = access == Access::create || access == Access::write;
  if (access != Access::create && !exists(path)) {
    return Error{ErrorCode::missing, path + ": expected a log, found nothing"};
  }
  const int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (may_write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) |
                    (access == Access::create ? SQLITE_OPEN_CREATE : 0);
  sqlite3* raw = nullptr;
  const std::string uri = uri_of(path, access == Access::read_frozen ? "?immutable=1" : "");
  const int code = sqlite3_open_v2(uri.c_str(), &raw, flags, nullptr);
  Database database(raw, path);
  if (code != SQLITE_OK) {
    return sqlite_error(raw, path, code);
  }
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  // Readers wait this long while the writer switches WAL generations; a second writer never gets
  // here, because the lock file stops it.
  sqlite3_busy_timeout(raw, 10'000);
  COPPICE_TRY_VOID(database.run("PRAGMA mmap_size=0"));
  COPPICE_TRY_VOID(database.run("PRAGMA recursive_triggers=ON"));
  COPPICE_TRY_VOID(database.run("PRAGMA cell_size_check=ON"));
  return database;
}

Result<Statement> Database::prepare(std::string_view sql) const {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v2(
      connection_.get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  if (code != SQLITE_OK) {
    return sqlite_error(connection_.get(), path_, code);
  }
  return Statement(raw, path_);
}

Result<void> Database::run(std::string_view sql) const {
  COPPICE_TRY(Statement statement, prepare(sql));
  while (true) {
    COPPICE_TRY(const bool row, statement.step());
    if (!row) {
      return {};
    }
  }
}

Result<std::int64_t> Database::integer(std::string_view sql) const {
  COPPICE_TRY(Statement statement, prepare(sql));
  COPPICE_TRY(const bool row, statement.step());
  if (!row) {
    return Error{ErrorCode::corrupt, path_ + ": expected a row from " + std::string(sql)};
  }
  return statement.integer(0);
}

Result<std::string> Database::text(std::string_view sql) const {
  COPPICE_TRY(Statement statement, prepare(sql));
  COPPICE_TRY(const bool row, statement.step());
  if (!row) {
    return Error{ErrorCode::corrupt, path_ + ": expected a row from " + std::string(sql)};
  }
  return std::string(statement.bytes(0));
}

Result<void> Database::close() {
  const int code = sqlite3_close(connection_.get());
  if (code != SQLITE_OK) {
    return sqlite_error(connection_.get(), path_, code);
  }
  (void)connection_.release();
  return {};
}

void Database::free_pages() const {
  sqlite3_db_release_memory(connection_.get());
}

std::string sqlite_version() {
  return sqlite3_libversion();
}

}  // namespace coppice::archive
