// The log against kill -9, full disks and read-only folders; each in a child process.
#include "archive/log_writer.h"
#include "archive/sqlite.h"
#include "core/random.h"
#include "tests/archive/support.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>

using namespace coppice;
using namespace coppice::archive;
using Mode = ExperimentLog::Mode;

namespace {

// Appends for ever; writes each acknowledged place to `out`.
int append_and_acknowledge(const std::string& directory, int out, bool threaded) {
  auto log = ExperimentLog::open(directory,
                                 exists(directory + "/log.sqlite") ? Mode::append : Mode::create);
  if (!log.ok()) {
    return 3;
  }
  std::uint64_t next = log.value().durable().value + 1;
  const auto tell = [out](std::uint64_t seq) {
    return ::write(out, &seq, sizeof(seq)) == 8;
  };
  if (threaded) {
    LogWriter writer(std::move(log).value());
    while (true) {
      for (int i = 0; i < 5; ++i) {
        if (!writer.put_blob("blob " + std::to_string(next)).ok() ||
            !writer.append_encoded(sample_event(next++)).ok()) {
          return 4;
        }
      }
      if (!writer.flush().ok() || !tell(next - 1)) {
        return 5;
      }
    }
  }
  while (true) {
    if (!log.value().append_encoded(sample_event(next)).ok() || !log.value().commit().ok() ||
        !tell(next++)) {
      return 6;
    }
  }
}

// Runs a writer, kills it after `acknowledgements` of them plus a random moment; returns the last
// place that it acknowledged.
std::uint64_t kill_a_writer(const std::string& directory, Rng& rng, bool threaded) {
  int pipe_ends[2];
  REQUIRE(::pipe2(pipe_ends, O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe_ends[0]);
    ::_exit(append_and_acknowledge(directory, pipe_ends[1], threaded));
  }
  ::close(pipe_ends[1]);
  std::uint64_t last = 0;
  std::uint64_t seq = 0;
  const std::uint64_t acknowledgements = 1 + rng.below(12);
  for (std::uint64_t i = 0; i < acknowledgements; ++i) {
    if (::read(pipe_ends[0], &seq, sizeof(seq)) == 8) {
      last = seq;
    }
  }
  struct timespec moment {
    0, static_cast<long>(rng.below(6'000'000))
  };
  ::nanosleep(&moment, nullptr);  // the kill comes at any point of a commit
  ::kill(child, SIGKILL);
  while (::read(pipe_ends[0], &seq, sizeof(seq)) == 8) {
    last = seq;
  }
  ::close(pipe_ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  return last;
}

void storm(int rounds, std::uint64_t seed) {
  const TempDir dir;
  Rng rng = stream(seed, "kill", 0);
  INFO("seed " << seed);
  for (int round = 0; round < rounds; ++round) {
    const std::uint64_t promised = kill_a_writer(dir / "run", rng, round % 2 == 0);
    REQUIRE(promised > 0);
    const auto log = must(ExperimentLog::open(dir / "run", Mode::append));
    const ChainStatus status = must(log.verify());
    INFO(status.message);
    REQUIRE(status.ok);
    REQUIRE(status.events >= promised);
    must(log.visit(EventSeq{1}, [](const LogRow& row) -> Result<bool> {
      REQUIRE(row.bytes == sample_event(row.seq.value));  // nothing repeated, nothing skipped
      return true;
    }));
    must(log.verify_content());
  }
}

// A message from a child that must not use the test framework.
std::string report_of(const TempDir& dir) {
  const auto text = read_file(dir / "report", 1U << 20U);
  return text.ok() ? text.value() : "";
}

// Writes until the writer objects, then checks what is left. 0 = as it should be.
int fill_the_disk(const std::string& run, const std::string& report) {
  std::signal(SIGXFSZ, SIG_IGN);
  std::uint64_t promised = 0;
  {
    auto log = ExperimentLog::open(run, Mode::create);
    if (!log.ok()) {
      return 10;
    }
    std::string message;
    for (std::uint64_t i = 1; i < 100'000; ++i) {
      if (!log.value().append_encoded(sample_event(i) + std::string(3000, 'x')).ok()) {
        return 11;  // append only queues
      }
      if (auto done = log.value().commit(); !done.ok()) {
        message = done.error().message;
        break;
      }
      promised = i;
    }
    const auto again = log.value().append_encoded("x");
    if (message.empty() || again.ok()) {
      return 12;
    }
    (void)replace_file(report, message + "\n" + again.error().message);
    if (!log.value().size().ok() || log.value().size().value() < promised) {
      return 13;  // it still serves reads
    }
  }
  const auto log = ExperimentLog::open(run, Mode::read);
  if (!log.ok() || !log.value().verify().ok() || !log.value().verify().value().ok) {
    return 14;
  }
  return log.value().size().value() == promised ? 0 : 15;
}

bool mount_small(const std::string& where, const char* options) {
  if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    return false;
  }
  (void)::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  return ::mount("tmpfs", where.c_str(), "tmpfs", 0, options) == 0;
}

}  // namespace

TEST_CASE("nothing acknowledged is lost when the writer is killed") {
  storm(4, 1);
}

TEST_CASE("nothing acknowledged is lost in a storm of kills", "[slow]") {
  storm(50, 20261123);
}

TEST_CASE("a file size limit stops the writer with a clear error and loses nothing") {
  const TempDir dir;
  const int status = in_child([&dir] {
    const struct rlimit limit { 200'000, 200'000 };
    ::setrlimit(RLIMIT_FSIZE, &limit);
    return fill_the_disk(dir / "run", dir / "report");
  });
  INFO(report_of(dir));
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  REQUIRE_THAT(report_of(dir), Catch::Contains("disk is full"));
  REQUIRE_THAT(report_of(dir), Catch::Contains("takes no more writes"));
  // With room again the run goes on.
  auto log = must(ExperimentLog::open(dir / "run", Mode::append));
  must(log.append_encoded("room"));
  must(log.close());
}

TEST_CASE("a full disk stops the writer with a clear error and loses nothing") {
  const TempDir dir;
  must(make_directories(dir / "small"));
  const int status = in_child([&dir] {
    if (!mount_small(dir / "small", "size=600k")) {
      return 77;
    }
    return fill_the_disk(dir / "small/run", dir / "report");
  });
  INFO(report_of(dir));
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    WARN("no permission to mount a small disk here: only the file size limit was tested");
    return;
  }
  REQUIRE(WEXITSTATUS(status) == 0);
  REQUIRE_THAT(report_of(dir), Catch::Contains("disk is full"));
}

TEST_CASE("a full disk stops the committing thread, and what it confirmed is there") {
  const TempDir dir;
  const int status = in_child([&dir] {
    std::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit { 300'000, 300'000 };
    ::setrlimit(RLIMIT_FSIZE, &limit);
    auto log = ExperimentLog::open(dir / "run", Mode::create);
    LogWriter writer(std::move(log).value());
    std::uint64_t promised = 0;
    for (std::uint64_t i = 1; i < 100'000; ++i) {
      if (!writer.append_encoded(std::string(2000, 'x')).ok()) {
        break;
      }
      if (i % 10 == 0) {
        if (!writer.flush().ok()) {
          break;
        }
        promised = i;
      }
    }
    if (!writer.failure().has_value() || writer.close().ok()) {
      return 20;
    }
    const auto read = ExperimentLog::open(dir / "run", Mode::read);
    return read.ok() && read.value().size().value() >= promised && promised > 0 ? 0 : 21;
  });
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
}

TEST_CASE("a read-only folder can be read and says why it can't be written") {
  const TempDir dir;
  write_log(dir / "run", 3);
  ::chmod(dir.path().c_str(), 0755);
  ::chmod((dir / "run").c_str(), 0555);
  for (const char* file : {"log.sqlite", "checkpoints.txt", "lock"}) {
    ::chmod((dir / ("run/" + std::string(file))).c_str(), 0444);
  }
  const int status = in_child([&dir] {
    if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) {
      return 77;
    }
    const auto log = ExperimentLog::open(dir / "run", Mode::read);
    if (!log.ok()) {
      ::dprintf(2, "%s\n", log.error().message.c_str());
      return 30;
    }
    if (!log.value().verify().ok() || !log.value().verify().value().ok) {
      return 31;
    }
    const auto write = ExperimentLog::open(dir / "run", Mode::append);
    if (write.ok() || write.error().code != ErrorCode::io ||
        write.error().message.find("read-only") == std::string::npos) {
      return 32;
    }
    const auto create = ExperimentLog::open(dir / "run/sub", Mode::create);
    return create.ok() || create.error().code != ErrorCode::io ? 33 : 0;
  });
  ::chmod((dir / "run").c_str(), 0755);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    WARN("could not give up root: read-only folder not tested");
    return;
  }
  REQUIRE(WEXITSTATUS(status) == 0);
}
