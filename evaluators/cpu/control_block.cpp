// The futex calls, without glibc in between: they must work under the strictest filter.

#include "evaluators/cpu/control_block.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

namespace coppice::evaluators::cpu {
namespace {

constexpr int kSpinsAtBell = 100'000;  // 2 to 5 ms, by processor

}  // namespace

void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen, Nanoseconds timeout) {
  timespec limit{};
  limit.tv_sec = timeout.count() / 1000000000;
  limit.tv_nsec = timeout.count() % 1000000000;
  ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, timeout.count() < 0 ? nullptr : &limit, nullptr, 0);
}

void futex_wake(const std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void wait_for_bell(ControlBlock& control,
                   std::uint32_t number,
                   std::uint32_t threads,
                   bool drowsy) {
  if (control.ready.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
    futex_wake(control.ready);
  }
  for (int spin = drowsy ? kSpinsAtBell : 0; spin < kSpinsAtBell; ++spin) {
    if (control.doorbell.load(std::memory_order_acquire) == number) {
      return;
    }
    pause_briefly();
  }
  // The agent rings first and looks at `asleep` then; we do it the other way round.
  control.asleep.fetch_add(1, std::memory_order_seq_cst);
  while (true) {
    const std::uint32_t seen = control.doorbell.load(std::memory_order_seq_cst);
    if (seen == number) {
      return;
    }
    futex_wait(control.doorbell, seen, Nanoseconds(-1));
  }
}

}  // namespace coppice::evaluators::cpu
