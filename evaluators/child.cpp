// fork and exec with a pipe that reports why exec failed; everything after fork is signal-safe.

#include "evaluators/child.h"

#include "evaluators/child_environment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace coppice::evaluators {
namespace {

void limit(int which, std::uint64_t value) {
  if (value != 0) {
    const rlimit both{value, value};
    ::setrlimit(static_cast<__rlimit_resource>(which), &both);
  }
}

// Copies the given descriptors out of the way first, so that placing one can't overwrite another.
bool place_descriptors(const ChildOptions& options) {
  const std::array<int, 4> wanted{options.input, options.output, options.errors, options.socket};
  std::array<int, 4> high{};
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    int from = wanted[i];
    if (i == 2 && from == -2) {
      from = 2;
    }
    if (from < 0 && i < 3) {
      from = ::open("/dev/null", i == 0 ? O_RDONLY : O_WRONLY);
    }
    high[i] = from < 0 ? -1 : ::fcntl(from, F_DUPFD, 64);
  }
  for (std::size_t i = 0; i < high.size(); ++i) {
    if (high[i] >= 0 && ::dup2(high[i], static_cast<int>(i)) < 0) {
      return false;
    }
  }
  // Everything above stays behind.
  if (::close_range(high[3] >= 0 ? 4U : 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0) {
    for (int fd = high[3] >= 0 ? 4 : 3; fd < 1024; ++fd) {
      ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
  }
  return true;
}

[[noreturn]] void become(const ChildOptions& options,
                         char* const* argv,
                         char* const* environment,
                         int report) {
  // Stay clear of descriptors 0..3, which are about to be replaced.
  const int safe_report = ::fcntl(report, F_DUPFD_CLOEXEC, 200);
  ::setpgid(0, 0);
  if (options.dies_with_thread) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  }
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGCHLD}) {
    ::signal(signal, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const bool placed = place_descriptors(options);
  limit(RLIMIT_AS, options.limits.address_space);
  limit(RLIMIT_CPU, options.limits.cpu_seconds);
  limit(RLIMIT_FSIZE, options.limits.file_bytes);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  if (placed && (options.folder.empty() || ::chdir(options.folder.c_str()) == 0)) {
    environ = const_cast<char**>(environment);
    ::execvp(argv[0], argv);
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t n = ::write(safe_report, &error, sizeof error);
  ::_exit(127);
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) {
    out.push_back(text.data());
  }
  out.push_back(nullptr);
  return out;
}

}  // namespace

Nanoseconds steady_now() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return Nanoseconds(static_cast<std::int64_t>(t.tv_sec) * 1000000000 + t.tv_nsec);
}

Result<Child> Child::start(const ChildOptions& options) {
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) {
    return Error{ErrorCode::environment, fmt::format("pipe: {}", std::strerror(errno))};
  }
  const Fd reader(report[0]);
  Fd writer(report[1]);
  std::vector<std::string> argv_text = options.argv;
  std::vector<char*> argv = pointers(argv_text);
  std::vector<std::string> environment_text =
      child_environment(environ, options.environment, options.hidden);
  std::vector<char*> environment = pointers(environment_text);
  const pid_t pid = ::fork();
  if (pid < 0) {
    return Error{ErrorCode::environment, fmt::format("fork: {}", std::strerror(errno))};
  }
  if (pid == 0) {
    become(options, argv.data(), environment.data(), writer.get());
  }
  ::setpgid(pid, pid);  // also here: whoever comes first
  writer.reset();
  Child child(pid);
  int error = 0;
  ssize_t n = 0;
  do {
    n = ::read(reader.get(), &error, sizeof error);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof error) {
    return Error{ErrorCode::environment,
                 fmt::format("start {}: {}", options.argv.front(), std::strerror(error))};
  }
  return child;
}

Child::Child(Child&& other) noexcept : pid_(other.pid_), status_(other.status_) {
  other.pid_ = -1;
}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    kill();
    pid_ = other.pid_;
    status_ = other.status_;
    other.pid_ = -1;
  }
  return *this;
}

bool Child::running() {
  return pid_ > 0 && !status_ && !wait(Nanoseconds(0));
}

std::optional<int> Child::wait(Nanoseconds timeout) {
  if (pid_ <= 0 || status_) {
    return status_;
  }
  const Nanoseconds deadline = steady_now() + timeout;
  std::int64_t pause = 50000;
  while (true) {
    int status = 0;
    const pid_t got = ::waitpid(pid_, &status, WNOHANG);
    if (got == pid_ || (got < 0 && errno == ECHILD)) {
      status_ = status;
      return status_;
    }
    const Nanoseconds left = deadline - steady_now();
    if (left.count() <= 0) {
      return std::nullopt;
    }
    const timespec nap{0, std::min<std::int64_t>(pause, left.count())};
    ::nanosleep(&nap, nullptr);
    pause = std::min<std::int64_t>(pause * 2, 5000000);
  }
}

bool Child::kill() {
  if (pid_ <= 0) {
    return true;
  }
  // The group outlives its leader: descendants may be left even when the leader has been reaped.
  ::kill(-pid_, SIGKILL);
  bool gone = true;
  if (!status_) {
    ::kill(pid_, SIGKILL);
    gone = wait(std::chrono::seconds(5)).has_value();
    ::kill(-pid_, SIGKILL);
  }
  pid_ = -1;
  status_.reset();
  return gone;
}

pid_t Child::release() {
  const pid_t pid = pid_;
  pid_ = -1;
  return pid;
}

std::string describe_status(int status) {
  if (WIFSIGNALED(status)) {
    return fmt::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  }
  return fmt::format("exit status {}", WIFEXITED(status) ? WEXITSTATUS(status) : status);
}

Drained drain(int fd, std::size_t cap, Nanoseconds timeout) {
  Drained out;
  const Nanoseconds deadline = steady_now() + timeout;
  std::vector<char> bytes(1 << 16);
  while (true) {
    const Nanoseconds left = deadline - steady_now();
    if (left.count() <= 0) {
      out.complete = false;
      return out;
    }
    pollfd item{fd, POLLIN, 0};
    if (::poll(&item,
               1,
               static_cast<int>(std::min<std::int64_t>(left.count() / 1000000 + 1, 100))) <= 0) {
      continue;
    }
    const ssize_t n = ::read(fd, bytes.data(), bytes.size());
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
      return out;
    }
    if (n > 0) {
      out.total += static_cast<std::uint64_t>(n);
      const std::size_t room = cap - std::min(cap, out.text.size());
      out.text.append(bytes.data(), std::min(room, static_cast<std::size_t>(n)));
    }
  }
}

}  // namespace coppice::evaluators
