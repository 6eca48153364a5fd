// Frames are (request, size, payload); a reply larger than the cap or out of shape is "torn".
#include "evaluators/cuda/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

namespace coppice::evaluators::cuda {
namespace {

struct Header {
  std::uint32_t request = 0;
  std::uint32_t magic = 0x43555731;
  std::uint64_t size = 0;
};
constexpr std::uint64_t kMostBytes = 512ull << 20;

using Clock = std::chrono::steady_clock;

bool wait_for(int fd, short what, Clock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd item{fd, what, 0};
    const int n = poll(
        &item, 1, static_cast<int>(std::max<long long>(0, std::min<long long>(left, 1 << 30))));
    if (n > 0) {
      return true;
    }
    if (n == 0 || errno != EINTR) {
      return false;
    }
  }
}

enum class Moved { all, late, closed };

Moved send_all(int fd, const char* data, std::size_t size, Clock::time_point deadline) {
  while (size > 0) {
    if (!wait_for(fd, POLLOUT, deadline)) {
      return Moved::late;
    }
    const ssize_t n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
      continue;
    }
    if (n <= 0) {
      return Moved::closed;
    }
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return Moved::all;
}

Moved receive_all(int fd, char* data, std::size_t size, Clock::time_point deadline) {
  while (size > 0) {
    if (!wait_for(fd, POLLIN, deadline)) {
      return Moved::late;
    }
    const ssize_t n = recv(fd, data, size, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
      continue;
    }
    if (n <= 0) {
      return Moved::closed;
    }
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return Moved::all;
}

[[noreturn]] void serve(int fd, const std::function<WorkerHandler()>& make) {
  const WorkerHandler handler = make();
  const auto never = Clock::now() + std::chrono::hours(24 * 365);
  std::string payload, reply;
  while (true) {
    Header header;
    if (receive_all(fd, reinterpret_cast<char*>(&header), sizeof header, never) != Moved::all ||
        header.size > kMostBytes) {
      _exit(0);
    }
    payload.resize(header.size);
    if (receive_all(fd, payload.data(), payload.size(), never) != Moved::all) {
      _exit(0);
    }
    reply.clear();
    const bool more = handler(header.request, payload, reply);
    header.size = reply.size();
    if (send_all(fd, reinterpret_cast<const char*>(&header), sizeof header, never) != Moved::all ||
        send_all(fd, reply.data(), reply.size(), never) != Moved::all || !more) {
      _exit(0);
    }
  }
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) {
    return "killed by signal " + std::to_string(WTERMSIG(status));
  }
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Result<WorkerProcess> WorkerProcess::start(const std::string& name,
                                           const std::function<WorkerHandler()>& make) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Error{ErrorCode::io, "start " + name + ": socketpair: " + std::strerror(errno)};
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    close(ends[0]);
    close(ends[1]);
    return Error{ErrorCode::io, "start " + name + ": fork: " + std::strerror(errno)};
  }
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
      _exit(0);
    }
    prctl(PR_SET_NAME, name.substr(0, 15).c_str());
    close(ends[0]);
    signal(SIGINT, SIG_IGN);  // Ctrl-C is the agent's business
    serve(ends[1], make);
  }
  close(ends[1]);
  return WorkerProcess(pid, ends[0]);
}

WorkerProcess::WorkerProcess(WorkerProcess&& other) noexcept : pid_(other.pid_), fd_(other.fd_) {
  other.pid_ = -1;
  other.fd_ = -1;
}

WorkerProcess& WorkerProcess::operator=(WorkerProcess&& other) noexcept {
  if (this != &other) {
    kill();
    std::swap(pid_, other.pid_);
    std::swap(fd_, other.fd_);
  }
  return *this;
}

WorkerProcess::~WorkerProcess() {
  kill();
}

WorkerReply WorkerProcess::call(std::uint32_t request,
                                std::string_view payload,
                                Nanoseconds deadline) {
  WorkerReply out;
  if (pid_ <= 0) {
    out.outcome = WorkerReply::Outcome::died;
    out.detail = "not running";
    return out;
  }
  const auto until = Clock::now() + deadline;
  Header header;
  header.request = request;
  header.size = payload.size();
  Moved moved = send_all(fd_, reinterpret_cast<const char*>(&header), sizeof header, until);
  if (moved == Moved::all) {
    moved = send_all(fd_, payload.data(), payload.size(), until);
  }
  Header back;
  if (moved == Moved::all) {
    moved = receive_all(fd_, reinterpret_cast<char*>(&back), sizeof back, until);
  }
  if (moved == Moved::all) {
    if (back.magic != Header{}.magic || back.request != request || back.size > kMostBytes) {
      out.outcome = WorkerReply::Outcome::torn;
      out.detail = "reply out of shape";
      return out;
    }
    out.payload.resize(back.size);
    moved = receive_all(fd_, out.payload.data(), out.payload.size(), until);
  }
  if (moved == Moved::late) {
    out.outcome = WorkerReply::Outcome::timed_out;
    out.detail = "no answer within " + std::to_string(to_seconds(deadline)) + " s";
  } else if (moved == Moved::closed) {
    int status = 0;
    out.outcome = WorkerReply::Outcome::died;
    out.detail = waitpid(pid_, &status, 0) == pid_ ? how_it_ended(status) : "gone";
    pid_ = -1;
    close(fd_);
    fd_ = -1;
  }
  return out;
}

bool WorkerProcess::kill(Nanoseconds patience) {
  if (fd_ >= 0) {
    close(fd_);
    fd_ = -1;
  }
  if (pid_ <= 0) {
    return true;
  }
  ::kill(pid_, SIGKILL);
  const auto until = Clock::now() + patience;
  while (true) {
    const pid_t reaped = waitpid(pid_, nullptr, WNOHANG);
    if (reaped == pid_ || (reaped < 0 && errno == ECHILD)) {
      pid_ = -1;
      return true;
    }
    if (Clock::now() > until) {
      pid_ = -1;
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace coppice::evaluators::cuda
