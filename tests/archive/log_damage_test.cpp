// What the experiment log does when its files are cut, flipped, swapped, recomputed, or foreign.
#include "archive/checkpoint_file.h"
#include "archive/experiment_log.h"
#include "archive/sqlite.h"
#include "tests/archive/support.h"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <optional>

using namespace coppice;
using namespace coppice::archive;
using Mode = ExperimentLog::Mode;

namespace {

// Somebody with the file in hand and no respect for triggers.
void tamper(const std::string& directory, const std::vector<std::string>& sql) {
  const auto database = must(Database::open(directory + "/log.sqlite", Database::Access::write));
  std::vector<std::pair<std::string, std::string>> triggers;
  {
    auto list = must(database.prepare("SELECT name, sql FROM sqlite_schema WHERE type='trigger'"));
    while (must(list.step())) {
      triggers.emplace_back(list.bytes(0), list.bytes(1));
    }
  }
  for (const auto& trigger : triggers) {
    must(database.run("DROP TRIGGER " + trigger.first));
  }
  for (const std::string& statement : sql) {
    must(database.run(statement));
  }
  for (const auto& trigger : triggers) {
    must(database.run(trigger.second));
  }
}

// Recomputes the chain from event `first` on: the full restamp.
void restamp(const std::string& directory, std::uint64_t first) {
  std::vector<std::string> updates;
  {
    const auto database = must(Database::open(directory + "/log.sqlite", Database::Access::read));
    auto rows = must(database.prepare("SELECT seq, bytes, hex(chain) FROM events ORDER BY seq"));
    Digest chain;
    while (must(rows.step())) {
      const auto seq = static_cast<std::uint64_t>(rows.integer(0));
      if (seq < first) {
        std::string hex(rows.bytes(2));
        for (char& c : hex) {
          c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        }
        chain = must(Digest::from_hex(hex));
        continue;
      }
      chain = next_chain(seq, chain, rows.bytes(1));
      updates.push_back("UPDATE events SET chain = x'" + chain.hex() +
                        "' WHERE seq = " + std::to_string(seq));
    }
  }
  tamper(directory, updates);
}

std::string open_message(const std::string& directory, Mode mode = Mode::read) {
  const auto log = ExperimentLog::open(directory, mode);
  if (log.ok()) {
    return "";
  }
  CHECK(log.error().code == ErrorCode::corrupt);
  return log.error().message;
}

std::string verify_message(const std::string& directory) {
  LogOptions options;
  options.check = false;
  const auto log = must(ExperimentLog::open(directory, Mode::read, options));
  const ChainStatus status = must(log.verify());
  CHECK(status.ok == status.message.empty());
  return status.message;
}

}  // namespace

TEST_CASE("a shortened log is refused, with both counts") {
  const TempDir dir;
  write_log(dir / "run", 20);
  tamper(dir / "run", {"DELETE FROM events WHERE seq > 17"});
  for (const Mode mode : {Mode::read, Mode::append}) {
    REQUIRE_THAT(open_message(dir / "run", mode),
                 Catch::Contains("knows 20 events, the log has 17"));
  }
  REQUIRE_THAT(verify_message(dir / "run"), Catch::Contains("knows 20 events, the log has 17"));
}

TEST_CASE("a changed event is named, wherever it is") {
  const TempDir dir;
  write_log(dir / "run", 200);
  tamper(dir / "run", {"UPDATE events SET bytes = 'other' WHERE seq = 7"});
  REQUIRE_THAT(verify_message(dir / "run"), Catch::Contains("event 7"));
  const auto log = must(ExperimentLog::open(dir / "run", Mode::read));
  std::uint64_t last = 0;
  const auto visited = log.visit(EventSeq{1}, [&last](const LogRow& row) -> Result<bool> {
    last = row.seq.value;
    return true;
  });
  REQUIRE(error_of(visited).code == ErrorCode::corrupt);
  REQUIRE(last == 6);
}

TEST_CASE("a missing, moved or doubled event breaks the chain") {
  const TempDir dir;
  write_log(dir / "gap", 20);
  tamper(dir / "gap", {"DELETE FROM events WHERE seq = 5"});
  CHECK_THAT(verify_message(dir / "gap"), Catch::Contains("event 5: missing"));
  write_log(dir / "head", 20);
  tamper(dir / "head", {"DELETE FROM events WHERE seq = 1"});
  CHECK_THAT(verify_message(dir / "head"), Catch::Contains("event 1: missing"));
  write_log(dir / "swap", 20);
  tamper(dir / "swap",
         {"UPDATE events SET seq = 100 WHERE seq = 4",
          "UPDATE events SET seq = 4 WHERE seq = 5",
          "UPDATE events SET seq = 5 WHERE seq = 100"});
  CHECK_THAT(verify_message(dir / "swap"), Catch::Contains("event 4"));
}

TEST_CASE("a recomputed chain is caught by the checkpoints") {
  const TempDir dir;
  write_log(dir / "run", 100);
  tamper(dir / "run", {"UPDATE events SET bytes = 'better result' WHERE seq = 90"});
  restamp(dir / "run", 90);
  REQUIRE_THAT(open_message(dir / "run"), Catch::Contains("event 100: is not the one that"));
  REQUIRE_THAT(verify_message(dir / "run"), Catch::Contains("event 90: is not the one that"));
}

TEST_CASE("a tail swapped for another run's tail is caught") {
  const TempDir dir;
  write_log(dir / "run", 30);
  tamper(dir / "run",
         {"DELETE FROM events WHERE seq > 25",
          "INSERT INTO events VALUES(26, 0, 'a', zeroblob(32))",
          "INSERT INTO events VALUES(27, 0, 'b', zeroblob(32))",
          "INSERT INTO events VALUES(28, 0, 'c', zeroblob(32))",
          "INSERT INTO events VALUES(29, 0, 'd', zeroblob(32))",
          "INSERT INTO events VALUES(30, 0, 'e', zeroblob(32))"});
  restamp(dir / "run", 26);
  REQUIRE_THAT(open_message(dir / "run"), Catch::Contains("event 30"));
}

TEST_CASE("a log ahead of its checkpoints is fine: the last write was cut off there") {
  const TempDir dir;
  write_log(dir / "run", 5);
  const std::string all = slurp(dir / "run/checkpoints.txt");
  for (const std::size_t cut : {1U, 30U, 120U}) {
    spill(dir / "run/checkpoints.txt", all.substr(0, all.size() - cut));
    auto log = must(ExperimentLog::open(dir / "run", Mode::append));
    must(log.close());
    REQUIRE(must(read_checkpoints(dir / "run/checkpoints.txt")).back().count == 5);
  }
}

TEST_CASE("a flipped bit anywhere in the checkpoint file is noticed") {
  const TempDir dir;
  write_log(dir / "run", 3);
  const std::string whole = slurp(dir / "run/checkpoints.txt");
  const auto before = must(parse_checkpoints(whole, "c"));
  for (std::size_t i = 0; i + 1 < whole.size(); ++i) {  // the last LF alone may look torn
    for (const int bit : {0, 3, 6}) {
      std::string flipped = whole;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      const auto read = parse_checkpoints(flipped, "c");
      INFO(i << " " << bit);
      REQUIRE((!read.ok() || read.value() != before));
      if (read.ok()) {  // a broken line end joins two lines, or tears the last
        REQUIRE(read.value().size() < before.size());
      }
    }
  }
}

TEST_CASE("a removed checkpoint file is noticed") {
  const TempDir dir;
  write_log(dir / "run", 3);
  std::filesystem::remove(dir / "run/checkpoints.txt");
  REQUIRE(error_of(ExperimentLog::open(dir / "run", Mode::read)).code == ErrorCode::missing);
  REQUIRE(error_of(ExperimentLog::open(dir / "run", Mode::append)).code == ErrorCode::missing);
}

TEST_CASE("a removed log is not silently started again") {
  const TempDir dir;
  write_log(dir / "run", 3);
  std::filesystem::remove(dir / "run/log.sqlite");
  REQUIRE(error_of(ExperimentLog::open(dir / "run", Mode::create)).code == ErrorCode::corrupt);
}

TEST_CASE("a newer schema is refused with both versions") {
  const TempDir dir;
  write_log(dir / "run", 1);
  must(must(Database::open(dir / "run/log.sqlite", Database::Access::write))
           .run("PRAGMA user_version=7"));
  for (const Mode mode : {Mode::read, Mode::append}) {
    const Error error = error_of(ExperimentLog::open(dir / "run", mode));
    REQUIRE(error.code == ErrorCode::environment);
    REQUIRE_THAT(error.message, Catch::Contains("schema 7, this one reads up to 1"));
  }
}

TEST_CASE("an older schema, a foreign database and a text file are not logs") {
  const TempDir dir;
  write_log(dir / "old", 1);
  must(must(Database::open(dir / "old/log.sqlite", Database::Access::write))
           .run("PRAGMA user_version=0"));
  REQUIRE(error_of(ExperimentLog::open(dir / "old", Mode::append)).code == ErrorCode::corrupt);
  write_log(dir / "foreign", 1);
  std::filesystem::remove(dir / "foreign/log.sqlite");
  must(must(Database::open(dir / "foreign/log.sqlite", Database::Access::create))
           .run("CREATE TABLE events(a)"));
  REQUIRE_THAT(open_message(dir / "foreign"), Catch::Contains("another definition of \"events\""));
  write_log(dir / "text", 1);
  spill(dir / "text/log.sqlite", std::string(5000, 'x'));
  REQUIRE_THAT(open_message(dir / "text"), Catch::Contains("not a log"));
}

TEST_CASE("a log whose triggers were removed is refused") {
  const TempDir dir;
  write_log(dir / "run", 1);
  must(must(Database::open(dir / "run/log.sqlite", Database::Access::write))
           .run("DROP TRIGGER events_never_go"));
  REQUIRE_THAT(open_message(dir / "run"), Catch::Contains("expected the tables of a coppice log"));
}

TEST_CASE("a creation that was cut off is taken up again") {
  const TempDir dir;
  must(make_directories(dir / "run"));
  must(CheckpointFile::create(dir / "run/checkpoints.txt"));
  spill(dir / "run/log.sqlite", "");
  REQUIRE(error_of(ExperimentLog::open(dir / "run", Mode::read)).code == ErrorCode::missing);
  auto log = must(ExperimentLog::open(dir / "run", Mode::create));
  must(log.append_encoded("x"));
  must(log.close());
}

namespace {

struct Contents {
  std::vector<std::string> events;
  std::string blob;
  friend bool operator==(const Contents&, const Contents&) = default;
};

// Everything that the log serves, or nothing if it objects somewhere.
std::optional<Contents> contents_of(const std::string& directory, const Digest& blob) {
  const auto log = ExperimentLog::open(directory, Mode::read);
  if (!log.ok()) {
    return std::nullopt;
  }
  const auto status = log.value().verify();
  if (!status.ok() || !status.value().ok || !log.value().verify_content().ok()) {
    return std::nullopt;
  }
  Contents out;
  const auto visited = log.value().visit(EventSeq{1}, [&out](const LogRow& row) -> Result<bool> {
    out.events.push_back(row.bytes);
    return true;
  });
  auto text = log.value().blob(blob);
  if (!visited.ok() || !text.ok()) {
    return std::nullopt;
  }
  out.blob = text.value();
  return out;
}

// Flips one bit in every `step`-th byte of a file of the run; either that is noticed, or what is
// served is what was written.
void flip_bits(const std::string& from, const std::string& file, std::size_t step) {
  const Digest blob = sha256("a text that is kept");
  const auto expected = contents_of(from, blob);
  REQUIRE(expected.has_value());
  const TempDir dir;
  const std::string bytes = slurp(from + "/" + file);
  std::size_t noticed = 0;
  for (std::size_t i = 0; i < bytes.size(); i += step) {
    const std::string to = dir / "copy";
    must(remove_tree(to));
    std::filesystem::copy(from, to);
    std::filesystem::remove(to + "/log.sqlite-shm");
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ (1U << (i % 8)));
    spill(to + "/" + file, flipped);
    const auto found = contents_of(to, blob);
    noticed += found.has_value() ? 0U : 1U;
    if (found.has_value() && *found != *expected) {
      FAIL(file << ": byte " << i << " changed what is served");
    }
  }
  REQUIRE(noticed > 0);
}

// A run as a killed writer leaves it: everything still in the WAL.
void killed_run(const std::string& directory) {
  const int status = in_child([&directory] {
    auto log = ExperimentLog::open(directory, Mode::create);
    if (!log.ok() || !log.value().put_blob("a text that is kept").ok()) {
      return 1;
    }
    for (std::uint64_t i = 1; i <= 12; ++i) {
      if (!log.value().append_encoded(sample_event(i)).ok() || !log.value().commit().ok()) {
        return 1;
      }
    }
    ::raise(SIGKILL);
    return 1;
  });
  REQUIRE(WIFSIGNALED(status));
}

void closed_run(const std::string& directory) {
  auto log = must(ExperimentLog::open(directory, Mode::create));
  must(log.put_blob("a text that is kept"));
  for (std::uint64_t i = 1; i <= 12; ++i) {
    must(log.append_encoded(sample_event(i)));
  }
  must(log.close());
}

}  // namespace

TEST_CASE("flipped bits in the log are noticed or harmless") {
  const TempDir dir;
  closed_run(dir / "run");
  flip_bits(dir / "run", "log.sqlite", 509);
}

TEST_CASE("flipped bits in the write-ahead log of a killed run are noticed or harmless") {
  const TempDir dir;
  killed_run(dir / "run");
  flip_bits(dir / "run", "log.sqlite-wal", 1021);
}

TEST_CASE("every byte of a log can be flipped without a wrong answer", "[slow]") {
  const TempDir dir;
  closed_run(dir / "run");
  flip_bits(dir / "run", "log.sqlite", 7);
  killed_run(dir / "killed");
  flip_bits(dir / "killed", "log.sqlite-wal", 13);
}

TEST_CASE(
    "a write-ahead log torn at its end keeps what was acknowledged, or says that it is gone") {
  const TempDir dir;
  killed_run(dir / "run");
  const std::string wal = slurp(dir / "run/log.sqlite-wal");
  const auto expected = contents_of(dir / "run", sha256("a text that is kept"));
  for (const std::size_t cut : {std::size_t{1}, std::size_t{100}, std::size_t{5000}, wal.size()}) {
    must(remove_tree(dir / "copy"));
    std::filesystem::copy(dir / "run", dir / "copy");
    std::filesystem::remove(dir / "copy/log.sqlite-shm");
    spill(dir / "copy/log.sqlite-wal", wal.substr(0, wal.size() - cut));
    const auto found = contents_of(dir / "copy", sha256("a text that is kept"));
    REQUIRE((!found.has_value() || found == expected));
  }
}
