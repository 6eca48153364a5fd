// A disposable child process that answers requests over a socket; the parent keeps the deadline.
#pragma once

#include "core/result.h"
#include "core/units.h"

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>

namespace coppice::evaluators::cuda {

// Serves one request: fills the reply; false ends the process.
using WorkerHandler =
    std::function<bool(std::uint32_t request, std::string_view payload, std::string& reply)>;

struct WorkerReply {
  enum class Outcome { answered, timed_out, died, torn };
  Outcome outcome = Outcome::answered;
  std::string payload;
  std::string detail;  // "killed by signal 11", "exit status 3"
};

// Movable; the destructor kills and reaps. Used by one thread.
class WorkerProcess {
 public:
  // Forks; the child runs `make()` to get its handler and then serves until the socket closes. The
  // calling process must not have initialised CUDA: its state does not survive a fork.
  static Result<WorkerProcess> start(const std::string& name,
                                     const std::function<WorkerHandler()>& make);
  WorkerProcess(WorkerProcess&& other) noexcept;
  WorkerProcess& operator=(WorkerProcess&& other) noexcept;
  ~WorkerProcess();

  // One request, one reply, within `deadline`. Anything but `answered` leaves the process of no
  // further use: call kill().
  WorkerReply call(std::uint32_t request, std::string_view payload, Nanoseconds deadline);
  // SIGKILL and reap; false when it could not be reaped within `patience` (stuck in the driver).
  bool kill(Nanoseconds patience = std::chrono::seconds(10));
  bool alive() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }

 private:
  WorkerProcess(pid_t pid, int fd) : pid_(pid), fd_(fd) {}
  pid_t pid_ = -1;
  int fd_ = -1;
};

}  // namespace coppice::evaluators::cuda
