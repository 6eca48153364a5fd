// posix_spawn into a new process group; one poll loop feeds stdin and drains stdout and stderr.
#include "llm/run_command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

extern char** environ;

namespace coppice::llm {
namespace {

class Pipe {
 public:
  Pipe() = default;
  ~Pipe() {
    close(0);
    close(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  bool open() { return ::pipe2(ends_.data(), O_CLOEXEC) == 0; }
  // A socket instead of a pipe: writing to one that nobody reads gives an error, not a signal.
  bool open_socket() {
    return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()) == 0;
  }
  int end(std::size_t which) const { return ends_[which]; }
  void close(std::size_t which) {
    if (ends_[which] >= 0) {
      ::close(ends_[which]);
      ends_[which] = -1;
    }
  }

 private:
  std::array<int, 2> ends_{-1, -1};  // 0: read, 1: write
};

class SpawnSetup {
 public:
  SpawnSetup() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    sigset_t set;
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attributes, &set);
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGCHLD}) {
      sigaddset(&set, signal);
    }
    posix_spawnattr_setsigdefault(&attributes, &set);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

struct Running {
  pid_t pid = -1;
  Pipe in, out, err;
};

Result<void> spawn(const std::vector<std::string>& argv, Running& child) {
  if (!child.in.open_socket() || !child.out.open() || !child.err.open()) {
    return Error{ErrorCode::environment, fmt::format("pipe: {}", std::strerror(errno))};
  }
  SpawnSetup setup;
  const std::pair<int, int> places[] = {
      {child.in.end(0), 0}, {child.out.end(1), 1}, {child.err.end(1), 2}};
  for (const auto& [from, to] : places) {
    posix_spawn_file_actions_adddup2(&setup.actions, from, to);
  }
  std::vector<std::string> texts = argv;
  std::vector<char*> arguments;
  for (std::string& text : texts) {
    arguments.push_back(text.data());
  }
  arguments.push_back(nullptr);
  const int error = ::posix_spawnp(
      &child.pid, arguments[0], &setup.actions, &setup.attributes, arguments.data(), environ);
  if (error != 0) {
    child.pid = -1;
    return Error{ErrorCode::environment,
                 fmt::format("start {}: {}", argv[0], std::strerror(error))};
  }
  child.in.close(0);
  child.out.close(1);
  child.err.close(1);
  for (const int fd : {child.in.end(1), child.out.end(0), child.err.end(0)}) {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
  return {};
}

// Reads what is there; false at the end.
bool drain(int fd, std::string& out, std::size_t most) {
  std::array<char, 65536> buffer{};
  while (out.size() <= most) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n > 0) {
      out.append(buffer.data(), static_cast<std::size_t>(n));
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
      return false;
    } else {
      return true;
    }
  }
  return true;
}

// Sends what the child takes; false when all is sent or the child has closed its end.
bool feed(int fd, std::string_view& rest) {
  while (!rest.empty()) {
    const ssize_t n = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0) {
      return errno == EAGAIN || errno == EINTR;
    }
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  return false;
}

constexpr std::size_t kErrorsKept = 2048;

// Until stdout is closed and the child has ended, or a limit is passed. Says whether it has ended.
class Talk {
 public:
  Talk(Running& child, const std::string& input, const CommandLimits& limits)
      : child_(child),
        rest_(input),
        limits_(limits),
        deadline_(std::chrono::steady_clock::now() + limits.deadline) {}

  CommandRun run(const std::stop_token& stop) {
    while (true) {
      step();
      if (run_.output.size() > limits_.max_bytes) {
        return ended(CommandRun::End::too_large);
      }
      if (has_exited()) {
        // What is in the pipes is all there is; grandchildren that hold them open don't count.
        drain(child_.out.end(0), run_.output, limits_.max_bytes);
        drain_errors();
        return ended(run_.output.size() > limits_.max_bytes ? CommandRun::End::too_large
                                                            : CommandRun::End::exited);
      }
      if (stop.stop_requested()) {
        return ended(CommandRun::End::stopped);
      }
      if (std::chrono::steady_clock::now() >= deadline_) {
        return ended(CommandRun::End::timed_out);
      }
    }
  }

 private:
  // WNOWAIT: the process stays a zombie, so that its group can't be somebody else's when killed.
  bool has_exited() {
    siginfo_t info{};
    const int got =
        ::waitid(P_PID, static_cast<id_t>(child_.pid), &info, WEXITED | WNOHANG | WNOWAIT);
    return got == 0 && info.si_pid == child_.pid;
  }

  CommandRun ended(CommandRun::End end) {
    ::kill(-child_.pid, SIGKILL);
    int status = 0;
    while (::waitpid(child_.pid, &status, 0) < 0 && errno == EINTR) {
    }
    run_.end = end;
    if (end == CommandRun::End::exited) {
      run_.end = WIFSIGNALED(status) ? CommandRun::End::signalled : end;
      run_.status = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    }
    return std::move(run_);
  }

  void drain_errors() {
    if (!drain(child_.err.end(0), run_.errors, std::size_t{1} << 20)) {
      child_.err.close(0);
    }
    if (run_.errors.size() > kErrorsKept) {
      run_.errors.erase(0, run_.errors.size() - kErrorsKept);
    }
  }

  void step() {
    std::array<pollfd, 3> fds{pollfd{child_.out.end(0), POLLIN, 0},
                              pollfd{child_.err.end(0), POLLIN, 0},
                              pollfd{child_.in.end(1), POLLOUT, 0}};
    // Closed ones are -1, which poll skips. The pause bounds how late an exit is noticed.
    ::poll(fds.data(), fds.size(), 10);
    if (fds[0].revents != 0 && !drain(child_.out.end(0), run_.output, limits_.max_bytes)) {
      child_.out.close(0);
    }
    if (fds[1].revents != 0) {
      drain_errors();
    }
    if (child_.in.end(1) >= 0 && !feed(child_.in.end(1), rest_)) {
      child_.in.close(1);
    }
  }

  Running& child_;
  std::string_view rest_;
  CommandLimits limits_;
  std::chrono::steady_clock::time_point deadline_;
  CommandRun run_;
};

}  // namespace

Result<CommandRun> run_command(const std::vector<std::string>& argv,
                               const std::string& input,
                               const CommandLimits& limits,
                               const std::stop_token& stop) {
  Running child;
  COPPICE_TRY_VOID(spawn(argv, child));
  return Talk(child, input, limits).run(stop);
}

}  // namespace coppice::llm
