// The futex calls, without glibc in between: they must work under the strictest filter.

#include "evaluators/cpu/control_block.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

namespace coppice::evaluators::cpu {

void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen, Nanoseconds timeout) {
  timespec limit{};
  limit.tv_sec = timeout.count() / 1000000000;
  limit.tv_nsec = timeout.count() % 1000000000;
  ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, timeout.count() < 0 ? nullptr : &limit, nullptr, 0);
}

void futex_wake(const std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace coppice::evaluators::cpu
