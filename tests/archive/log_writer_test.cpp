// What the committing thread promises: order, groups, durability on request, one clear failure.
#include "archive/log_writer.h"

#include "archive/checkpoint_file.h"
#include "tests/archive/support.h"

#include <thread>

using namespace coppice;
using namespace coppice::archive;
using Mode = ExperimentLog::Mode;

namespace {

// Only a full group or somebody who waits starts a commit: no timing in these tests.
WriterOptions patient() {
  WriterOptions options;
  options.group_age = std::chrono::hours(1);
  return options;
}

std::vector<std::string> texts(const std::string& directory) {
  const auto log = must(ExperimentLog::open(directory, Mode::read));
  std::vector<std::string> out;
  must(log.visit(EventSeq{1}, [&out](const LogRow& row) -> Result<bool> {
    out.push_back(row.bytes);
    return true;
  }));
  return out;
}

}  // namespace

TEST_CASE("events appended to the writer are durable after flush, in order") {
  const TempDir dir;
  LogWriter writer(must(ExperimentLog::open(dir / "run", Mode::create)), patient());
  const Digest blob = must(writer.put_blob("source"));
  REQUIRE(must(writer.append_encoded("a")).value == 1);
  REQUIRE(must(writer.append(StopRequested{"b"})).value == 2);
  must(writer.flush());
  REQUIRE(writer.durable().value == 2);
  const auto read = must(ExperimentLog::open(dir / "run", Mode::read));
  REQUIRE(must(read.blob(blob)) == "source");
  must(writer.append_encoded("c"));
  must(writer.close());
  const auto all = texts(dir / "run");
  REQUIRE(all.size() == 3);
  REQUIRE(all[0] == "a");
  REQUIRE(all[1] == encode(StopRequested{"b"}));
  REQUIRE(all[2] == "c");
  REQUIRE(error_of(writer.append_encoded("late")).code == ErrorCode::io);
}

TEST_CASE("waiting for one event makes everything before it durable in one commit") {
  const TempDir dir;
  LogWriter writer(must(ExperimentLog::open(dir / "run", Mode::create)), patient());
  for (int i = 0; i < 50; ++i) {
    must(writer.append_encoded("x"));
  }
  must(writer.wait(EventSeq{50}));
  REQUIRE(writer.durable().value == 50);
  REQUIRE(writer.figures().commits == 1);
  must(writer.wait(EventSeq{3}));  // long durable
  REQUIRE(error_of(writer.wait(EventSeq{51})).code == ErrorCode::config);
}

TEST_CASE("a full group commits by itself") {
  const TempDir dir;
  WriterOptions options = patient();
  options.group_rows = 4;
  LogWriter writer(must(ExperimentLog::open(dir / "run", Mode::create)), options);
  for (int i = 0; i < 4; ++i) {
    must(writer.append_encoded("x"));
  }
  while (writer.durable().value < 4) {
    std::this_thread::yield();
  }
  REQUIRE(writer.figures().rows == 4);
}

TEST_CASE("an old group commits by itself") {
  const TempDir dir;
  WriterOptions options;
  options.group_rows = 1000;
  options.group_age = std::chrono::milliseconds(1);
  LogWriter writer(must(ExperimentLog::open(dir / "run", Mode::create)), options);
  must(writer.append_encoded("x"));
  while (writer.durable().value < 1) {
    std::this_thread::yield();
  }
}

TEST_CASE("a full queue makes callers wait instead of growing") {
  const TempDir dir;
  WriterOptions options;
  options.queue_rows = 3;
  options.group_rows = 2;
  LogWriter writer(must(ExperimentLog::open(dir / "run", Mode::create)), options);
  for (int i = 0; i < 40; ++i) {
    must(writer.append_encoded(std::to_string(i)));
  }
  must(writer.close());
  const auto all = texts(dir / "run");
  REQUIRE(all.size() == 40);
  REQUIRE(all[39] == "39");
}

TEST_CASE("events appended together are never parted by a commit") {
  const TempDir dir;
  WriterOptions options;
  options.group_rows = 5;
  LogWriter writer(must(ExperimentLog::open(dir / "run", Mode::create)), options);
  for (int step = 0; step < 60; ++step) {
    std::vector<Event> together(3, Event{WorkRequested{step}});
    REQUIRE(must(writer.append_all(together)).value == static_cast<std::uint64_t>(step + 1) * 3);
  }
  must(writer.close());
  for (const Checkpoint& checkpoint : must(read_checkpoints(dir / "run/checkpoints.txt"))) {
    REQUIRE(checkpoint.count % 3 == 0);
  }
}

TEST_CASE("many threads may append; each place is given once and the chain holds") {
  const TempDir dir;
  LogWriter writer(must(ExperimentLog::open(dir / "run", Mode::create)));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&writer, t] {
      for (int i = 0; i < 100; ++i) {
        const auto seq = writer.append_encoded(std::to_string(t) + ":" + std::to_string(i));
        if (i % 25 == 0 && seq.ok()) {
          (void)writer.wait(seq.value());
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  must(writer.close());
  const auto log = must(ExperimentLog::open(dir / "run", Mode::read));
  const ChainStatus status = must(log.verify());
  REQUIRE(status.ok);
  REQUIRE(status.events == 400);
}

TEST_CASE("a writer that goes away without closing drops only what nobody was promised") {
  const TempDir dir;
  {
    LogWriter writer(must(ExperimentLog::open(dir / "run", Mode::create)), patient());
    must(writer.append_encoded("promised"));
    must(writer.flush());
    must(writer.append_encoded("not promised"));
  }
  REQUIRE(texts(dir / "run") == std::vector<std::string>{"promised"});
}

TEST_CASE("an error in the thread reaches every caller") {
  const TempDir dir;
  write_log(dir / "run", 1);
  // A log open for reading can't be written: the first commit fails.
  LogWriter writer(must(ExperimentLog::open(dir / "run", Mode::read)));
  (void)writer.append_encoded("x");
  REQUIRE_FALSE(writer.flush().ok());
  REQUIRE_FALSE(writer.append_encoded("y").ok());
  REQUIRE(writer.failure().has_value());
  REQUIRE_FALSE(writer.close().ok());
}
