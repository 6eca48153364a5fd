// The parent sends one end of a socket pair; the server forks, the child serves that end and exits.
#include "evaluators/cuda/compile_server.h"

#include "evaluators/child_environment.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

namespace coppice::evaluators::cuda {
namespace {

bool send_descriptor(int over, int descriptor) {
  char byte = 'c';
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  while (sendmsg(over, &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

// -1 when the other side is gone.
int receive_descriptor(int over) {
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = 0;
  while ((n = recvmsg(over, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  const cmsghdr* header = n > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  int descriptor = -1;
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
  }
  return descriptor;
}

bool move_all(int fd, char* data, std::size_t size, bool out) {
  while (size > 0) {
    const ssize_t n = out ? send(fd, data, size, MSG_NOSIGNAL) : recv(fd, data, size, 0);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return false;
    }
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

[[noreturn]] void serve_one(int fd, const CompileServer::Work& work) {
  constexpr std::uint64_t kMostBytes = 256ull << 20;
  std::int32_t pid = getpid();
  std::uint64_t size = 0;
  if (!move_all(fd, reinterpret_cast<char*>(&pid), sizeof pid, true) ||
      !move_all(fd, reinterpret_cast<char*>(&size), sizeof size, false) || size > kMostBytes) {
    _exit(1);
  }
  std::string request(size, '\0');
  if (!move_all(fd, request.data(), size, false)) {
    _exit(1);
  }
  std::string answer = work(request);
  _exit(move_all(fd, answer.data(), answer.size(), true) ? 0 : 1);
}

// Holding on to others' pipes and sockets would keep them from seeing that their peer has ended.
int alone_with(int control) {
  const int null = open("/dev/null", O_RDWR);
  for (const int standard : {0, 1}) {
    dup2(null, standard);
  }
  const int kept = dup2(control, 3);
  close_range(4, ~0U, 0);
  return kept;
}

[[noreturn]] void serve_control(int control, const CompileServer::Work& work) {
  control = alone_with(control);
  // Below the agents: a compiler that holds a core while a device waits for its next launch costs
  // more than it gains.
  setpriority(PRIO_PROCESS, 0, std::min(19, getpriority(PRIO_PROCESS, 0) + kCompilersBelow));
  signal(SIGCHLD, SIG_IGN);  // children are nobody's business when they have ended
  signal(SIGINT, SIG_IGN);
  while (true) {
    const int fd = receive_descriptor(control);
    if (fd < 0) {
      _exit(0);
    }
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(control);
      serve_one(fd, work);
    }
    close(fd);
  }
}

}  // namespace

Result<std::unique_ptr<CompileServer>> CompileServer::start(
    Work work, const std::vector<std::string>& hidden) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Error{ErrorCode::io, std::string("compile server: socketpair: ") + std::strerror(errno)};
  }
  const pid_t pid = fork();
  if (pid < 0) {
    close(ends[0]);
    close(ends[1]);
    return Error{ErrorCode::io, std::string("compile server: fork: ") + std::strerror(errno)};
  }
  if (pid == 0) {
    close(ends[0]);
    prctl(PR_SET_NAME, "coppice-nvrtc");
    forget_secrets(hidden);
    serve_control(ends[1], work);
  }
  close(ends[1]);
  return std::unique_ptr<CompileServer>(new CompileServer(pid, ends[0]));
}

CompileServer::~CompileServer() {
  close(control_);
  kill(pid_, SIGKILL);  // running jobs end with it
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<int> CompileServer::begin() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Error{ErrorCode::io, std::string("compile: socketpair: ") + std::strerror(errno)};
  }
  bool sent = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    sent = send_descriptor(control_, ends[1]);
  }
  close(ends[1]);
  if (!sent) {
    close(ends[0]);
    return Error{ErrorCode::environment, "compile: the compile server is gone"};
  }
  return ends[0];
}

}  // namespace coppice::evaluators::cuda
