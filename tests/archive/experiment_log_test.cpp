// What the experiment log promises in peace: order, chain, blobs, readers, one writer.
#include "archive/experiment_log.h"

#include "archive/checkpoint_file.h"
#include "archive/sqlite.h"
#include "tests/archive/support.h"

using namespace coppice;
using namespace coppice::archive;
using Mode = ExperimentLog::Mode;

namespace {

std::vector<LogRow> rows_of(const ExperimentLog& log, EventSeq first = EventSeq{1}) {
  std::vector<LogRow> rows;
  must(log.visit(first, [&rows](const LogRow& row) -> Result<bool> {
    rows.push_back(row);
    return true;
  }));
  return rows;
}

}  // namespace

TEST_CASE("a log gives back its events in order, byte for byte") {
  const TempDir dir;
  auto log = must(ExperimentLog::open(dir / "run", Mode::create));
  REQUIRE(must(log.append_encoded("one")).value == 1);
  REQUIRE(must(log.append_encoded("")).value == 2);
  REQUIRE(must(log.append_encoded("dr\xc3\xa4i\n")).value == 3);
  must(log.commit());
  const auto rows = rows_of(log);
  REQUIRE(rows.size() == 3);
  REQUIRE(rows[0].bytes == "one");
  REQUIRE(rows[1].bytes.empty());
  REQUIRE(rows[2].bytes == "dr\xc3\xa4i\n");
  REQUIRE(rows[2].seq.value == 3);
  REQUIRE(rows_of(log, EventSeq{3}).size() == 1);
  REQUIRE(rows_of(log, EventSeq{4}).empty());
  REQUIRE(must(log.row(EventSeq{2})).seq.value == 2);
  REQUIRE(error_of(log.row(EventSeq{4})).code == ErrorCode::missing);
}

TEST_CASE("a typed event survives the log") {
  const TempDir dir;
  auto log = must(ExperimentLog::open(dir / "run", Mode::create));
  const Event event = StopRequested{"user \"quit\""};
  must(log.append(event));
  must(log.close());
  const auto read = must(ExperimentLog::open(dir / "run", Mode::read));
  const Event back = must(decode(must(read.row(EventSeq{1})).bytes));
  REQUIRE(std::get<StopRequested>(back).reason == "user \"quit\"");
}

TEST_CASE("the chain follows the documented rule") {
  const TempDir dir;
  write_log(dir / "run", 2);
  const auto log = must(ExperimentLog::open(dir / "run", Mode::read));
  const auto rows = rows_of(log);
  std::string first("coppice-log-1\0", 14);
  first += std::string("\0\0\0\0\0\0\0\x01", 8) + std::string(32, '\0') + sample_event(1);
  REQUIRE(rows[0].chain == sha256(first));
  std::string second("coppice-log-1\0", 14);
  second += std::string("\0\0\0\0\0\0\0\x02", 8);
  second.append(reinterpret_cast<const char*>(rows[0].chain.bytes.data()), 32);
  REQUIRE(rows[1].chain == sha256(second + sample_event(2)));
}

TEST_CASE("what was not committed is not there, and a destructor commits nothing") {
  const TempDir dir;
  {
    auto log = must(ExperimentLog::open(dir / "run", Mode::create));
    must(log.append_encoded("kept"));
    must(log.commit());
    must(log.append_encoded("dropped"));
    REQUIRE(must(log.size()) == 1);
    REQUIRE(log.durable().value == 1);
  }
  auto log = must(ExperimentLog::open(dir / "run", Mode::append));
  REQUIRE(must(log.size()) == 1);
  REQUIRE(must(log.append_encoded("next")).value == 2);
}

TEST_CASE("a log goes on where it ended, with one unbroken chain") {
  const TempDir dir;
  write_log(dir / "run", 5);
  for (int session = 0; session < 3; ++session) {
    auto log = must(ExperimentLog::open(dir / "run", Mode::append));
    must(log.append_encoded("more"));
    must(log.close());
  }
  const auto log = must(ExperimentLog::open(dir / "run", Mode::read));
  const ChainStatus status = must(log.verify());
  REQUIRE(status.ok);
  REQUIRE(status.events == 8);
}

TEST_CASE("a blob is kept once, compressed, and comes back whole") {
  const TempDir dir;
  auto log = must(ExperimentLog::open(dir / "run", Mode::create));
  const std::string source = std::string(5000, 'x') + "__global__ void kernel();";
  const Digest digest = must(log.put_blob(source));
  REQUIRE(digest == sha256(source));
  REQUIRE(must(log.put_blob(source)) == digest);
  REQUIRE_FALSE(must(log.has_blob(digest)));  // not yet committed
  must(log.commit());
  REQUIRE(must(log.put_blob(source)) == digest);
  must(log.commit());
  REQUIRE(must(log.has_blob(digest)));
  REQUIRE(must(log.blob(digest)) == source);
  const Digest empty = must(log.put_blob(""));
  const std::string noise("\x8f\x01\x00\xff", 4);
  const Digest raw = must(log.put_blob(noise));
  must(log.close());

  const auto read = must(ExperimentLog::open(dir / "run", Mode::read));
  REQUIRE(must(read.blob(empty)).empty());
  REQUIRE(must(read.blob(raw)) == noise);
  REQUIRE(error_of(read.blob(sha256("never"))).code == ErrorCode::missing);
  const auto database = must(Database::open(dir / "run/log.sqlite", Database::Access::read));
  REQUIRE(must(database.integer("SELECT count(*) FROM blobs")) == 3);
  REQUIRE(must(database.integer("SELECT max(length(content)) FROM blobs")) < 200);
  must(read.verify_content());
}

TEST_CASE("readers see committed events while the writer goes on") {
  const TempDir dir;
  auto writer = must(ExperimentLog::open(dir / "run", Mode::create));
  must(writer.append_encoded("a"));
  must(writer.commit());
  const auto reader = must(ExperimentLog::open(dir / "run", Mode::read));
  REQUIRE(rows_of(reader).size() == 1);
  must(writer.append_encoded("b"));
  REQUIRE(rows_of(reader).size() == 1);
  must(writer.commit());
  REQUIRE(rows_of(reader).size() == 2);
  REQUIRE(must(reader.verify()).ok);
  // A visitor that is slow does not hold the writer up.
  must(reader.visit(EventSeq{1}, [&writer](const LogRow&) -> Result<bool> {
    must(writer.append_encoded("while visiting"));
    must(writer.commit());
    return false;
  }));
  REQUIRE(must(reader.size()) == 3);
}

TEST_CASE("a second writer is told who holds the log") {
  const TempDir dir;
  auto first = must(ExperimentLog::open(dir / "run", Mode::create));
  const Error error = error_of(ExperimentLog::open(dir / "run", Mode::append));
  REQUIRE(error.code == ErrorCode::busy);
  REQUIRE_THAT(error.message, Catch::Contains("process " + std::to_string(::getpid())));
  must(first.close());
  must(ExperimentLog::open(dir / "run", Mode::append));
}

TEST_CASE("a writer in another process is named by its pid") {
  const TempDir dir;
  write_log(dir / "run", 1);
  int ready[2];
  int leave[2];
  REQUIRE(::pipe(ready) == 0);
  REQUIRE(::pipe(leave) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto log = ExperimentLog::open(dir / "run", Mode::append);
    char byte = log.ok() ? 'y' : 'n';
    (void)!::write(ready[1], &byte, 1);
    (void)!::read(leave[0], &byte, 1);
    ::_exit(0);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK(byte == 'y');
  const Error error = error_of(ExperimentLog::open(dir / "run", Mode::append));
  CHECK(error.code == ErrorCode::busy);
  CHECK_THAT(error.message, Catch::Contains("process " + std::to_string(child)));
  must(ExperimentLog::open(dir / "run", Mode::read));
  REQUIRE(::write(leave[1], "x", 1) == 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  must(ExperimentLog::open(dir / "run", Mode::append));
}

TEST_CASE("a log can't be created twice, nor opened where there is none") {
  const TempDir dir;
  write_log(dir / "run", 1);
  REQUIRE(error_of(ExperimentLog::open(dir / "run", Mode::create)).code == ErrorCode::config);
  REQUIRE(error_of(ExperimentLog::open(dir / "none", Mode::read)).code == ErrorCode::missing);
  REQUIRE(error_of(ExperimentLog::open(dir / "none", Mode::append)).code == ErrorCode::missing);
  REQUIRE_FALSE(exists(dir / "none"));
}

TEST_CASE("a log opened for reading refuses to write") {
  const TempDir dir;
  write_log(dir / "run", 1);
  auto log = must(ExperimentLog::open(dir / "run", Mode::read));
  REQUIRE(error_of(log.append_encoded("x")).code == ErrorCode::config);
  REQUIRE(error_of(log.put_blob("x")).code == ErrorCode::config);
}

TEST_CASE("a group that grows too large commits itself") {
  const TempDir dir;
  LogOptions options;
  options.max_group_rows = 4;
  auto log = must(ExperimentLog::open(dir / "run", Mode::create, options));
  for (int i = 0; i < 9; ++i) {
    must(log.append_encoded("x"));
  }
  REQUIRE(log.durable().value == 8);
}

TEST_CASE("even SQL can't change, remove, replace or misplace what is in the log") {
  const TempDir dir;
  write_log(dir / "run", 3);
  const auto database = must(Database::open(dir / "run/log.sqlite", Database::Access::write));
  const std::string row = ", 0, 'x', zeroblob(32))";
  for (const std::string& sql :
       {std::string("UPDATE events SET bytes = 'x' WHERE seq = 2"),
        std::string("DELETE FROM events WHERE seq = 3"),
        "INSERT OR REPLACE INTO events VALUES(2" + row,
        "INSERT INTO events VALUES(5" + row,
        "INSERT INTO events VALUES(3" + row,
        std::string("INSERT INTO events VALUES(4, 0, 'x', zeroblob(31))"),
        std::string("INSERT INTO events VALUES(4, 0, x'00', zeroblob(32))"),
        std::string("INSERT INTO blobs VALUES(1, zeroblob(32), 'many', 0, x'')")}) {
    INFO(sql);
    REQUIRE(error_of(database.run(sql)).code == ErrorCode::corrupt);
  }
}

TEST_CASE("every commit leaves a checkpoint that agrees with the chain") {
  const TempDir dir;
  write_log(dir / "run", 6, 2);
  const auto checkpoints = must(read_checkpoints(dir / "run/checkpoints.txt"));
  REQUIRE(checkpoints.size() == 4);  // opening, three commits; closing repeats nothing
  REQUIRE(checkpoints.front().count == 0);
  REQUIRE(checkpoints.back().count == 6);
  const auto log = must(ExperimentLog::open(dir / "run", Mode::read));
  REQUIRE(must(log.row(EventSeq{6})).chain == checkpoints.back().head);
}

TEST_CASE("a snapshot holds what was committed when it was taken") {
  const TempDir dir;
  auto log = must(ExperimentLog::open(dir / "run", Mode::create));
  const Digest blob = must(log.put_blob("text"));
  must(log.append_encoded("a"));
  must(log.commit());
  const auto reader = must(ExperimentLog::open(dir / "run", Mode::read));
  must(log.append_encoded("b"));
  const ChainStatus status = must(reader.snapshot(dir / "copy"));
  REQUIRE(status.ok);
  REQUIRE(status.events == 1);
  auto copy = must(ExperimentLog::open(dir / "copy", Mode::append));
  REQUIRE(must(copy.blob(blob)) == "text");
  must(copy.append_encoded("goes on"));
  must(copy.commit());
  REQUIRE(must(copy.verify()).ok);
  REQUIRE(error_of(reader.snapshot(dir / "copy")).code == ErrorCode::config);
}
