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
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace coppice::evaluators::cpu {
namespace {

constexpr int kSpins = 4000;
constexpr std::size_t kStack = 8 << 20;
constexpr std::size_t kIdleStack = 256 << 10;
constexpr std::size_t kSignalStack = 64 << 10;
constexpr std::size_t kMostWorkers = 4096;

// What a thread goes by between two launches. Fills whole pages of any size, so that it can be made
// read-only; its address is part of the code.
struct Post {
  ControlBlock* control;
  ThreadPool* pool;
  std::uint32_t workers;
  char* stacks[kMostWorkers];  // the upper ends
};
constexpr std::size_t kPostBytes = 64 << 10;
union PostPages {
  Post post;
  std::byte bytes[kPostBytes];
};
static_assert(sizeof(PostPages) == kPostBytes);
alignas(kPostBytes) constinit PostPages g_pages{};

std::atomic<std::uint32_t> g_nothing{0};

[[noreturn]] void sleep_until_fetched() {
  while (true) {
    futex_wait(g_nothing, 0, Nanoseconds(-1));
  }
}

// Where the bell's signal puts a thread: at the upper end of its worker's stack.
[[noreturn]] void come_to_bell(std::int64_t worker) {
  const Post& post = g_pages.post;
  const std::uint32_t number = post.control->arm.load(std::memory_order_acquire);
  wait_for_bell(*post.control, number, post.workers, worker == 0 && post.control->shared != 0);
  post.pool->work(static_cast<int>(worker), number);
  sleep_until_fetched();
}

// AddressSanitizer remembers the frames of a stack that a thread was taken away from: they would be
// found beneath whoever uses it next.
void forget_frames([[maybe_unused]] char* end_of_stack) {
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(end_of_stack - kStack, kStack);
#endif
}

// The agent says in the signal which worker the thread is for this launch.
void on_bell(int, siginfo_t* info, void* context) {
  const Post& post = g_pages.post;
  const auto worker = static_cast<std::uint32_t>(info->si_value.sival_int);
  if (worker >= post.workers) {
    ::syscall(SYS_exit_group, 1);
  }
  auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
  forget_frames(post.stacks[worker]);
  const auto stack = reinterpret_cast<std::uintptr_t>(post.stacks[worker]);
  const auto entry = reinterpret_cast<std::uintptr_t>(&come_to_bell);
#if defined(__x86_64__)
  constexpr greg_t kPlainFlags = 0x202;
  machine.gregs[REG_RDI] = static_cast<greg_t>(worker);
  machine.gregs[REG_RIP] = static_cast<greg_t>(entry);
  // As after a call whose return address is nothing.
  machine.gregs[REG_RSP] = static_cast<greg_t>(stack - sizeof(void*));
  machine.gregs[REG_EFL] = kPlainFlags;
  if (machine.fpregs != nullptr) {
    constexpr std::uint32_t kPlainRounding = 0x1f80;
    machine.fpregs->mxcsr = kPlainRounding;
  }
#elif defined(__aarch64__)
  machine.regs[0] = worker;
  machine.regs[30] = 0;
  machine.pc = entry;
  machine.sp = stack;
#else
#error "say here how a signal handler redirects its thread"
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

// A stack above an inaccessible page; its upper end, null without memory.
char* new_stack() {
  constexpr std::size_t kGuard = 64 << 10;
  void* at = ::mmap(nullptr,
                    kGuard + kStack,
                    PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK,
                    -1,
                    0);
  if (at == MAP_FAILED || ::mprotect(at, kGuard, PROT_NONE) != 0) {
    return nullptr;
  }
  return static_cast<char*>(at) + kGuard + kStack;
}

}  // namespace

int bell_signal() {
  return SIGUSR1;
}

void give_thread_a_signal_stack() {
  void* stack =
      ::mmap(nullptr, kSignalStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const stack_t alternative{stack, 0, kSignalStack};
  ::sigaltstack(&alternative, nullptr);
}

void watch_signals(ControlBlock& control) {
  g_control = &control;
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP}) {
    ::sigaction(number, &action, nullptr);
  }
  action.sa_sigaction = on_bell;
  ::sigaction(bell_signal(), &action, nullptr);
  give_thread_a_signal_stack();
}

ThreadPool::ThreadPool(ControlBlock& control, int workers)
    : control_(control), workers_(std::clamp(workers, 1, static_cast<int>(kMostWorkers))) {}

bool ThreadPool::start() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kIdleStack);
  for (int worker = 1; worker < workers_; ++worker) {
    pthread_t thread{};
    const auto body = [](void* argument) -> void* {
      give_thread_a_signal_stack();
      static_cast<ThreadPool*>(argument)->started_.fetch_add(1, std::memory_order_release);
      sleep_until_fetched();
    };
    if (pthread_create(&thread, &attributes, body, this) != 0) {
      workers_ = worker;  // fewer than wanted: the rest of the pool still works
      break;
    }
  }
  pthread_attr_destroy(&attributes);
  // A thread that is still starting makes system calls that the filters to come forbid.
  while (started_.load(std::memory_order_acquire) + 1 < workers_) {
    ::sched_yield();
  }
  Post& post = g_pages.post;
  post.control = &control_;
  post.pool = this;
  post.workers = static_cast<std::uint32_t>(workers_);
  for (int worker = 0; worker < workers_; ++worker) {
    post.stacks[worker] = new_stack();
    if (post.stacks[worker] == nullptr) {
      return false;
    }
  }
  return true;
}

bool ThreadPool::set_plans(std::vector<BoundPlan> plans) {
  plans_ = std::move(plans);
  std::size_t steps = 1;
  for (const BoundPlan& plan : plans_) {
    steps = std::max(steps, plan.size());
  }
  next_ = std::make_unique<std::atomic<std::int64_t>[]>(steps);
  return ::mprotect(&g_pages, sizeof g_pages, PROT_READ) == 0;
}

void ThreadPool::serve() {
  control_.phase.store(static_cast<std::uint32_t>(Phase::waiting), std::memory_order_release);
  futex_wake(control_.phase);
  sleep_until_fetched();
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

void ThreadPool::work(int worker, std::uint32_t number) {
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
    // before the next launch.
    for (std::size_t i = 0; i < plan.size(); ++i) {
      next_[i].store(0, std::memory_order_relaxed);
    }
    control_.done.store(number, std::memory_order_release);
    futex_wake(control_.done);
  }
}

}  // namespace coppice::evaluators::cpu
