// A narrow door to SQLite: one connection and its statements, with errors that a person can act on.
#pragma once

#include "core/result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace coppice::archive {

// A prepared statement. Bind, then step until it gives false; reset() before the next round. Used
// by the connection's thread; must not outlive the connection.
class Statement {
 public:
  // Positions count from 1, columns from 0. Bound bytes must live until reset().
  Statement& bind(int position, std::int64_t value);
  Statement& bind_text(int position, std::string_view text);
  Statement& bind_blob(int position, std::string_view bytes);
  Result<bool> step();  // true: a row is ready
  void reset();
  std::int64_t integer(int column) const;
  std::string_view bytes(int column) const;  // valid until the next step or reset

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };
  Statement(sqlite3_stmt* statement, std::string path)
      : statement_(statement), path_(std::move(path)) {}
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string path_;
};

class Database {
 public:
  enum class Access {
    create,      // read, write, made if missing
    write,       // must exist
    read,        // must exist; may share it with a writer
    read_frozen  // nobody can change it: no locks, no -shm file (read-only media)
  };
  // One connection for one thread at a time. Sets what must hold on every connection: no mmap, no
  // trusted schema, defensive, recursive triggers, cell checks.
  static Result<Database> open(const std::string& path, Access access);

  Result<Statement> prepare(std::string_view sql) const;
  Result<void> run(std::string_view sql) const;              // one statement, rows ignored
  Result<std::int64_t> integer(std::string_view sql) const;  // first column of the first row
  Result<std::string> text(std::string_view sql) const;
  // Closes now and says whether that worked; the destructor closes in silence.
  Result<void> close();
  // Gives back what it keeps of its pages.
  void free_pages() const;
  const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* connection) const noexcept;
  };
  Database(sqlite3* connection, std::string path)
      : connection_(connection), path_(std::move(path)) {}
  std::unique_ptr<sqlite3, Close> connection_;
  std::string path_;
};

std::string sqlite_version();

}  // namespace coppice::archive
