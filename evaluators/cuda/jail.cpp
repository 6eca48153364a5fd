// Seccomp by libseccomp; a refused call returns EACCES, so that the driver can say what failed.
#include "evaluators/cuda/jail.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>

namespace coppice::evaluators::cuda {
namespace {

// New processes, sockets, tracing, and changes to the file system or the kernel.
// clang-format off
constexpr const char* kRefused[] = {
    "creat", "socket", "connect", "bind", "listen", "execve", "execveat", "fork", "vfork",
    "ptrace", "kill", "tkill", "unlink", "unlinkat", "rename", "renameat", "renameat2",
    "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat", "chmod",
    "fchmod", "fchmodat", "chown", "fchown", "truncate", "process_vm_readv",
    "process_vm_writev", "mount", "umount2", "pivot_root", "chroot", "setns", "unshare",
    "bpf", "keyctl", "add_key", "request_key", "userfaultfd", "perf_event_open",
    "io_uring_setup", "open_by_handle_at", "init_module", "finit_module", "reboot", "swapon"};
// clang-format on

}  // namespace

void bound_process() {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

bool enter_namespaces() {
  return unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) == 0;
}

bool forbid_system_calls(JailKind kind) {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) {
    return false;
  }
  for (const char* name : kRefused) {
    if (const int number = seccomp_syscall_resolve_name(name); number >= 0) {
      seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), number, 0);
    }
  }
  if (kind == JailKind::compiler) {
    for (const char* name : {"open", "openat", "openat2", "memfd_create", "ioctl"}) {
      if (const int number = seccomp_syscall_resolve_name(name); number >= 0) {
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), number, 0);
      }
    }
  } else {
    // Creating or truncating files is refused; device nodes may still be opened for writing.
    seccomp_rule_add(filter,
                     SCMP_ACT_ERRNO(EACCES),
                     SCMP_SYS(openat),
                     1,
                     SCMP_A2(SCMP_CMP_MASKED_EQ, O_CREAT, O_CREAT));
    seccomp_rule_add(filter,
                     SCMP_ACT_ERRNO(EACCES),
                     SCMP_SYS(openat),
                     1,
                     SCMP_A2(SCMP_CMP_MASKED_EQ, O_TRUNC, O_TRUNC));
    seccomp_rule_add(filter,
                     SCMP_ACT_ERRNO(EACCES),
                     SCMP_SYS(open),
                     1,
                     SCMP_A1(SCMP_CMP_MASKED_EQ, O_CREAT, O_CREAT));
  }
  const bool loaded = seccomp_load(filter) == 0;
  seccomp_release(filter);
  return loaded;
}

std::string isolation_level(bool namespaces, bool filtered) {
  return filtered ? (namespaces ? "full" : "process") : (namespaces ? "namespaces" : "none");
}

}  // namespace coppice::evaluators::cuda
