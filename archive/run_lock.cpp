// RunLock: at most one writer per run.
#include "archive/run_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

namespace coppice::archive {

namespace {

struct flock whole_file(short kind) {
  struct flock lock {};
  lock.l_type = kind;
  lock.l_whence = SEEK_SET;
  return lock;
}

long pid_in(const std::string& path) {
  const auto text = read_file(path, 4096);
  long pid = 0;
  if (text.ok()) {
    std::from_chars(text.value().data(), text.value().data() + text.value().size(), pid);
  }
  return pid;
}

}  // namespace

Result<RunLock> RunLock::acquire(const std::string& path) {
  COPPICE_TRY(FileDescriptor file, FileDescriptor::open(path, O_RDWR | O_CREAT));
  struct flock lock = whole_file(F_WRLCK);
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno != EAGAIN && errno != EACCES) {
      return system_error(path, "lock", errno);
    }
    const long pid = pid_in(path);
    return Error{ErrorCode::busy,
                 path + ": held by " + (pid > 0 ? "process " + std::to_string(pid) : "a process") +
                     ", which is writing this run; wait for it or stop it"};
  }
  if (::ftruncate(file.get(), 0) != 0) {
    return system_error(path, "write", errno);
  }
  COPPICE_TRY_VOID(write_all(file, std::to_string(::getpid()) + "\n", path));
  return RunLock(std::move(file));
}

std::optional<long> RunLock::holder(const std::string& path) {
  auto file = FileDescriptor::open(path, O_RDONLY);
  if (!file.ok()) {
    return std::nullopt;
  }
  struct flock lock = whole_file(F_RDLCK);
  if (::fcntl(file.value().get(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) {
    return std::nullopt;
  }
  return pid_in(path);
}

}  // namespace coppice::archive
