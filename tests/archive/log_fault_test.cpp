// The log over a disk that fails: each write, sync and truncation in turn, once and for ever.
#include "archive/experiment_log.h"
#include "tests/archive/support.h"

#include <sqlite3.h>

#include <csignal>
#include <cstring>

using namespace coppice;
using namespace coppice::archive;
using Mode = ExperimentLog::Mode;

namespace {

// A file system below SQLite that fails at the n-th change of a file.
struct Faults {
  int countdown = 0;  // 0 = never
  bool for_ever = false;
  int error = SQLITE_IOERR_WRITE;
  int seen = 0;
  bool tripped = false;

  bool fails() {
    ++seen;
    if (countdown == 0) {
      return false;
    }
    if (seen == countdown) {
      tripped = true;
      return true;
    }
    return for_ever && seen > countdown;
  }
};

Faults faults;

struct ShimFile {
  sqlite3_file base;
  sqlite3_file* real;
};

sqlite3_file* real_of(sqlite3_file* file) {
  return reinterpret_cast<ShimFile*>(file)->real;
}

int shim_close(sqlite3_file* file) {
  sqlite3_file* real = real_of(file);
  return real->pMethods != nullptr ? real->pMethods->xClose(real) : SQLITE_OK;
}
int shim_read(sqlite3_file* f, void* out, int size, sqlite3_int64 at) {
  return real_of(f)->pMethods->xRead(real_of(f), out, size, at);
}
int shim_write(sqlite3_file* f, const void* bytes, int size, sqlite3_int64 at) {
  if (faults.fails()) {
    // Half of it arrives: the worst that a disk does.
    (void)real_of(f)->pMethods->xWrite(real_of(f), bytes, size / 2, at);
    return faults.error;
  }
  return real_of(f)->pMethods->xWrite(real_of(f), bytes, size, at);
}
int shim_truncate(sqlite3_file* f, sqlite3_int64 size) {
  return faults.fails() ? SQLITE_IOERR_TRUNCATE : real_of(f)->pMethods->xTruncate(real_of(f), size);
}
int shim_sync(sqlite3_file* f, int flags) {
  return faults.fails() ? SQLITE_IOERR_FSYNC : real_of(f)->pMethods->xSync(real_of(f), flags);
}
int shim_size(sqlite3_file* f, sqlite3_int64* out) {
  return real_of(f)->pMethods->xFileSize(real_of(f), out);
}
int shim_lock(sqlite3_file* f, int level) {
  return real_of(f)->pMethods->xLock(real_of(f), level);
}
int shim_unlock(sqlite3_file* f, int level) {
  return real_of(f)->pMethods->xUnlock(real_of(f), level);
}
int shim_reserved(sqlite3_file* f, int* out) {
  return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}
int shim_control(sqlite3_file* f, int op, void* argument) {
  return real_of(f)->pMethods->xFileControl(real_of(f), op, argument);
}
int shim_sector(sqlite3_file* f) {
  return real_of(f)->pMethods->xSectorSize(real_of(f));
}
int shim_device(sqlite3_file* f) {
  return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}
int shim_map(sqlite3_file* f, int page, int size, int extend, void volatile** out) {
  if (extend != 0 && faults.fails()) {
    return SQLITE_IOERR_SHMSIZE;
  }
  return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}
int shim_shm_lock(sqlite3_file* f, int offset, int n, int flags) {
  return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}
void shim_barrier(sqlite3_file* f) {
  real_of(f)->pMethods->xShmBarrier(real_of(f));
}
int shim_unmap(sqlite3_file* f, int remove) {
  return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

const sqlite3_io_methods kMethods = {2,
                                     shim_close,
                                     shim_read,
                                     shim_write,
                                     shim_truncate,
                                     shim_sync,
                                     shim_size,
                                     shim_lock,
                                     shim_unlock,
                                     shim_reserved,
                                     shim_control,
                                     shim_sector,
                                     shim_device,
                                     shim_map,
                                     shim_shm_lock,
                                     shim_barrier,
                                     shim_unmap,
                                     nullptr,
                                     nullptr};

int shim_open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
  auto* below = static_cast<sqlite3_vfs*>(vfs->pAppData);
  auto* shim = reinterpret_cast<ShimFile*>(file);
  shim->real = reinterpret_cast<sqlite3_file*>(shim + 1);
  std::memset(shim->real, 0, static_cast<std::size_t>(below->szOsFile));
  const int code = below->xOpen(below, name, shim->real, flags, out);
  file->pMethods = shim->real->pMethods != nullptr ? &kMethods : nullptr;
  return code;
}

// Registered as SQLite's default while it lives.
class FaultyDisk {
 public:
  FaultyDisk() : below_(sqlite3_vfs_find(nullptr)), vfs_(*below_) {
    vfs_.pNext = nullptr;
    vfs_.zName = "faulty";
    vfs_.pAppData = below_;
    vfs_.szOsFile = static_cast<int>(sizeof(ShimFile)) + below_->szOsFile;
    vfs_.xOpen = shim_open;
    faults = {};
    sqlite3_vfs_register(&vfs_, 1);
  }
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;
  ~FaultyDisk() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(below_, 1);
    faults = {};
  }

 private:
  sqlite3_vfs* below_;
  sqlite3_vfs vfs_;
};

struct Outcome {
  std::uint64_t acknowledged = 0;
  bool created = false;
};

constexpr std::uint64_t kEvents = 9;

// Goes on where the log is and appends up to kEvents, in commits of three with a text each.
Outcome write_some(const std::string& directory) {
  Outcome out;
  const bool there = exists(directory + "/log.sqlite");
  auto log = ExperimentLog::open(directory, there ? Mode::append : Mode::create);
  if (!log.ok() && log.error().code == ErrorCode::missing) {
    log = ExperimentLog::open(directory, Mode::create);  // the creation had been cut off
  }
  if (!log.ok()) {
    return out;
  }
  out.created = true;
  out.acknowledged = log.value().durable().value;
  while (out.acknowledged < kEvents) {
    for (std::uint64_t i = out.acknowledged + 1; i <= out.acknowledged + 3; ++i) {
      if (!log.value().put_blob("text " + std::to_string(i)).ok() ||
          !log.value().append_encoded(sample_event(i)).ok()) {
        return out;
      }
    }
    if (!log.value().commit().ok()) {
      CHECK_FALSE(log.value().append_encoded("after an error").ok());
      return out;
    }
    out.acknowledged = log.value().durable().value;
  }
  (void)log.value().close();
  return out;
}

// On a sound disk: everything acknowledged is there, nothing is half there, and it goes on.
void check_recovery(const std::string& directory, const Outcome& outcome) {
  if (outcome.created) {
    const auto log = must(ExperimentLog::open(directory, Mode::append));
    const ChainStatus status = must(log.verify());
    INFO(status.message);
    REQUIRE(status.ok);
    REQUIRE(status.events >= outcome.acknowledged);
    REQUIRE(status.events % 3 == 0);
    for (std::uint64_t i = 1; i <= status.events; ++i) {
      REQUIRE(must(log.row(EventSeq{i})).bytes == sample_event(i));
      REQUIRE(must(log.blob(sha256("text " + std::to_string(i)))) == "text " + std::to_string(i));
    }
  }
  REQUIRE(write_some(directory).acknowledged == kEvents);
}

// Fails the n-th change for n = 1, 1 + step, ... until a whole run passes without a failure.
void fail_each(bool for_ever, int error, int step) {
  for (int n = 1;; n += step) {
    const TempDir dir;
    INFO("failing change " << n);
    Outcome outcome;
    bool tripped = false;
    {
      const FaultyDisk disk;
      faults.countdown = n;
      faults.for_ever = for_ever;
      faults.error = error;
      outcome = write_some(dir / "run");
      tripped = faults.tripped;
    }
    check_recovery(dir / "run", outcome);
    if (!tripped) {
      REQUIRE(outcome.acknowledged == kEvents);
      REQUIRE(n > 20);  // there was something to fail
      return;
    }
  }
}

}  // namespace

TEST_CASE("a disk that fails once, or for ever, costs nothing that was acknowledged") {
  fail_each(false, SQLITE_IOERR_WRITE, 7);
  fail_each(true, SQLITE_FULL, 7);
}

TEST_CASE("each single change of the disk may fail, once or for ever", "[slow]") {
  for (const int error : {SQLITE_IOERR_WRITE, SQLITE_FULL}) {
    fail_each(false, error, 1);
    fail_each(true, error, 1);
  }
}

TEST_CASE("a disk that fails while a killed run is recovered loses nothing either", "[slow]") {
  for (int n = 1;; ++n) {
    const TempDir dir;
    const int status = in_child([&dir] {
      auto log = ExperimentLog::open(dir / "run", Mode::create);
      for (std::uint64_t i = 1; i <= 6; ++i) {
        (void)log.value().put_blob("text " + std::to_string(i));
        (void)log.value().append_encoded(sample_event(i));
        if (i % 3 == 0 && !log.value().commit().ok()) {
          return 1;
        }
      }
      ::raise(SIGKILL);
      return 0;
    });
    REQUIRE(WIFSIGNALED(status));
    bool tripped = false;
    {
      const FaultyDisk disk;
      faults.countdown = n;
      faults.for_ever = n % 2 == 0;
      (void)write_some(dir / "run");
      tripped = faults.tripped;
    }
    INFO("failing change " << n);
    check_recovery(dir / "run", {6, true});
    if (!tripped) {
      return;
    }
  }
}
