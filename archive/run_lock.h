// RunLock: at most one writer per run, by a locked file that names the writer's pid.
#pragma once

#include "archive/durable_file.h"
#include "core/result.h"

#include <optional>
#include <string>

namespace coppice::archive {

// Held as long as the object lives. The kernel releases it when the process dies, however it dies;
// the file itself stays. An open-file-description lock: it also stops a second writer in the same
// process, and a child must not keep the descriptor (it is closed on exec).
class RunLock {
 public:
  // Error busy: "<path>: held by process 4711; ...".
  static Result<RunLock> acquire(const std::string& path);
  // The pid written by whoever holds the lock now; 0 = held, pid unreadable; nothing when free.
  static std::optional<long> holder(const std::string& path);

 private:
  explicit RunLock(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

}  // namespace coppice::archive
