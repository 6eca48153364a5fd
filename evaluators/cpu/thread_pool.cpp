// Dynamic distribution of tasks, one barrier a step; spins briefly, then sleeps on a futex.

#include "evaluators/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace coppice::evaluators::cpu {
namespace {

constexpr int kSpins = 4000;
constexpr std::size_t kStack = 8 << 20;
constexpr std::size_t kSignalStack = 64 << 10;

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

ControlBlock* g_control = nullptr;  // read by the fault handler only

void on_fault(int number, siginfo_t* info, [[maybe_unused]] void* context) {
  if (g_control != nullptr) {
#if defined(__x86_64__)
    // Bit 1 of the page fault's error code.
    const auto* machine = static_cast<const ucontext_t*>(context);
    g_control->fault_was_write =
        static_cast<std::uint32_t>(machine->uc_mcontext.gregs[REG_ERR] >> 1 & 1);
#endif
    g_control->fault_signal = number;
    g_control->fault_address = reinterpret_cast<std::uint64_t>(info->si_addr);
  }
  ::syscall(SYS_exit_group, 128 + number);
}

struct Start {
  ThreadPool* pool;
  int worker;
};

}  // namespace

void give_thread_a_signal_stack() {
  void* stack =
      ::mmap(nullptr, kSignalStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const stack_t alternative{stack, 0, kSignalStack};
  ::sigaltstack(&alternative, nullptr);
}

void watch_faults(ControlBlock& control) {
  g_control = &control;
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP}) {
    ::sigaction(number, &action, nullptr);
  }
  give_thread_a_signal_stack();
}

ThreadPool::ThreadPool(ControlBlock& control, int workers)
    : control_(control), workers_(std::max(workers, 1)) {}

void ThreadPool::start() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStack);
  for (int worker = 1; worker < workers_; ++worker) {
    auto* start = new Start{this, worker};
    pthread_t thread{};
    const auto body = [](void* argument) -> void* {
      const Start given = *static_cast<Start*>(argument);
      give_thread_a_signal_stack();
      given.pool->ready_.fetch_add(1, std::memory_order_release);
      while (given.pool->open_.load(std::memory_order_acquire) == 0) {
        futex_wait(given.pool->open_, 0, Nanoseconds(-1));
      }
      given.pool->work(given.worker);
    };
    if (pthread_create(&thread, &attributes, body, start) != 0) {
      workers_ = worker;  // fewer than wanted: the rest of the pool still works
      break;
    }
  }
  pthread_attr_destroy(&attributes);
  // A thread that is still starting makes system calls that the filters to come forbid.
  while (ready_.load(std::memory_order_acquire) + 1 < workers_) {
    ::sched_yield();
  }
}

void ThreadPool::set_plans(std::vector<BoundPlan> plans) {
  plans_ = std::move(plans);
  std::size_t steps = 1;
  for (const BoundPlan& plan : plans_) {
    steps = std::max(steps, plan.size());
  }
  next_ = std::make_unique<std::atomic<std::int64_t>[]>(steps);
}

void ThreadPool::serve() {
  open_.store(1, std::memory_order_release);
  futex_wake(open_);
  control_.phase.store(static_cast<std::uint32_t>(Phase::waiting), std::memory_order_release);
  futex_wake(control_.phase);
  work(0);
}

void ThreadPool::meet() {
  const std::uint32_t generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 ==
      static_cast<std::uint32_t>(workers_)) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(generation + 1, std::memory_order_release);
    futex_wake(generation_);
    return;
  }
  for (int spin = 0; spin < kSpins; ++spin) {
    if (generation_.load(std::memory_order_acquire) != generation) {
      return;
    }
    pause_briefly();
  }
  while (generation_.load(std::memory_order_acquire) == generation) {
    futex_wait(generation_, generation, Nanoseconds(-1));
  }
}

void ThreadPool::run_step(const BoundStep& step, std::size_t index, int worker) {
  if (step.entry == nullptr) {
    const std::uint64_t chunk =
        (step.fill_bytes / static_cast<std::uint64_t>(workers_) / 64 + 1) * 64;
    const std::uint64_t first =
        std::min(chunk * static_cast<std::uint64_t>(worker), step.fill_bytes);
    std::memset(static_cast<char*>(step.fill_at) + first,
                step.fill_byte,
                std::min(chunk, step.fill_bytes - first));
    return;
  }
  const std::int64_t total = step.grid[0] * step.grid[1] * step.grid[2];
  Task task{};
  std::copy(step.grid, step.grid + 3, task.grid);
  task.worker = worker;
  task.workers = workers_;
  while (true) {
    const std::int64_t at = next_[index].fetch_add(1, std::memory_order_relaxed);
    if (at >= total) {
      return;
    }
    task.index[0] = at % step.grid[0];
    task.index[1] = at / step.grid[0] % step.grid[1];
    task.index[2] = at / step.grid[0] / step.grid[1];
    step.entry(&task, step.args.data());
  }
}

void ThreadPool::work(int worker) {
  std::uint32_t seen = 0;
  while (true) {
    while (control_.doorbell.load(std::memory_order_acquire) == seen) {
      futex_wait(control_.doorbell, seen, Nanoseconds(-1));
    }
    seen = control_.doorbell.load(std::memory_order_acquire);
    const std::size_t slot = std::min<std::size_t>(control_.slot, plans_.size() - 1);
    const BoundPlan& plan = plans_[slot];
    for (std::size_t i = 0; i < plan.size(); ++i) {
      run_step(plan[i], i, worker);
      if (workers_ > 1) {
        meet();
      }
    }
    if (worker == 0) {
      // Others may still be leaving the last barrier, but none of them touches the counters again
      // before the next doorbell.
      for (std::size_t i = 0; i < plan.size(); ++i) {
        next_[i].store(0, std::memory_order_relaxed);
      }
      control_.done.store(seen, std::memory_order_release);
      futex_wake(control_.done);
    }
  }
}

}  // namespace coppice::evaluators::cpu
