// Each layer by itself, in the order in which they are applied.

#include "evaluators/cpu/sandbox.h"

#include "core/check.h"
#include "evaluators/wire.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace coppice::evaluators::cpu {
namespace {

constexpr std::string_view kLevels[] = {"none", "process", "namespaces", "full"};
constexpr unsigned kNobody = 65534;

bool write_file(const char* path, const std::string& text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) {
    return false;
  }
  const bool done = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  return done;
}

// An empty, read-only file system becomes the root.
bool empty_root() {
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=0500") !=
          0) {
    return false;
  }
  if (::chdir("/tmp") != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0) {
    return ::chroot("/tmp") == 0 && ::chdir("/") == 0;
  }
  ::umount2(".", MNT_DETACH);
  return ::chdir("/") == 0;
}

Result<std::vector<std::uint64_t>> compile(const std::vector<int>& allowed) {
  scmp_filter_ctx context = ::seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (context == nullptr) {
    return Error{ErrorCode::environment, "seccomp_init failed"};
  }
  int failed = 0;
  for (const int call : allowed) {
    failed |= ::seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 0);
  }
  const Fd file(::memfd_create("filter", MFD_CLOEXEC));
  failed |= ::seccomp_export_bpf(context, file.get());
  ::seccomp_release(context);
  const off_t bytes = ::lseek(file.get(), 0, SEEK_END);
  if (failed != 0 || bytes <= 0) {
    return Error{ErrorCode::environment, "seccomp filter can't be compiled"};
  }
  std::vector<std::uint64_t> out(static_cast<std::size_t>(bytes) / 8);
  if (::pread(file.get(), out.data(), out.size() * 8, 0) != bytes) {
    return Error{ErrorCode::environment, "seccomp filter can't be read"};
  }
  return out;
}

void limit(int which, std::uint64_t value) {
  const rlimit both{value, value};
  ::setrlimit(static_cast<__rlimit_resource>(which), &both);
}

}  // namespace

std::string_view to_text(Isolation level) {
  return kLevels[static_cast<std::size_t>(level)];
}

Result<Isolation> isolation(std::string_view text) {
  for (std::size_t i = 0; i < std::size(kLevels); ++i) {
    if (text == kLevels[i]) {
      return static_cast<Isolation>(i);
    }
  }
  return Error{
      ErrorCode::config,
      fmt::format("isolation: expected none, process, namespaces or full, found \"{}\"", text)};
}

bool enter_namespaces() {
  const unsigned user = ::geteuid();
  const unsigned group = ::getegid();
  constexpr int kAll =
      CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS;
  if (::unshare(kAll) != 0) {
    return false;
  }
  write_file("/proc/self/setgroups", "deny");
  // Inside, everybody is nobody; outside, our own user.
  const bool mapped = write_file("/proc/self/uid_map", fmt::format("{} {} 1\n", kNobody, user)) &&
                      write_file("/proc/self/gid_map", fmt::format("{} {} 1\n", kNobody, group));
  return mapped && empty_root();
}

void drop_privileges() {
  if (::geteuid() == 0) {
    [[maybe_unused]] int done = ::setgroups(0, nullptr);
    done = ::setresgid(kNobody, kNobody, kNobody);
    done = ::setresuid(kNobody, kNobody, kNobody);
    // Changing the user clears this; without it the parent could not be noticed to die.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  }
}

bool restrict_files() {
#ifdef SYS_landlock_create_ruleset
  struct {
    std::uint64_t handled_access_fs;
  } const rules{0x1fff};  // every right of the first Landlock version; no exceptions follow
  const long fd = ::syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
  if (fd < 0) {
    return false;
  }
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const long done = ::syscall(SYS_landlock_restrict_self, fd, 0);
  ::close(static_cast<int>(fd));
  return done == 0;
#else
  return false;
#endif
}

Result<Filters> compile_filters() {
  std::vector<int> running = {SCMP_SYS(futex),
                              SCMP_SYS(exit),
                              SCMP_SYS(exit_group),
                              SCMP_SYS(rt_sigreturn),
                              SCMP_SYS(sched_yield),
                              SCMP_SYS(restart_syscall)};
  std::vector<int> loading = running;
  for (const int call : {SCMP_SYS(mmap),
                         SCMP_SYS(mprotect),
                         SCMP_SYS(munmap),
                         SCMP_SYS(brk),
                         SCMP_SYS(mremap),
                         SCMP_SYS(madvise),
                         SCMP_SYS(seccomp),
                         SCMP_SYS(prctl),
                         SCMP_SYS(rt_sigprocmask),
                         SCMP_SYS(close)}) {
    loading.push_back(call);
  }
  Filters out;
  COPPICE_TRY(out.loading, compile(loading));
  COPPICE_TRY(out.running, compile(running));
  return out;
}

void set_limits(const ProcessLimits& limits) {
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NPROC, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_MEMLOCK, 0);
  limit(RLIMIT_MSGQUEUE, 0);
  limit(RLIMIT_CPU, limits.cpu_seconds);
  if (limits.address_space != 0) {
    limit(RLIMIT_AS, limits.address_space);
  }
}

bool install(const std::vector<std::uint64_t>& filter) {
  static_assert(sizeof(sock_filter) == 8);
  sock_fprog program{static_cast<unsigned short>(filter.size()),
                     reinterpret_cast<sock_filter*>(const_cast<std::uint64_t*>(filter.data()))};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

}  // namespace coppice::evaluators::cpu
