// Launches in a process whose kernels are functions of this file: who runs between two launches,
// and when the clock runs.

#include "evaluators/cpu/runner.h"
#include "evaluators/cpu/thread_pool.h"
#include "tests/evaluators/evaluator_support.h"
#include "tests/support/catch.h"
#include "tests/support/patience.h"
#include "tests/support/skip.h"

#include <unistd.h>

#include <atomic>

using namespace coppice;
using namespace coppice::evaluators;
using namespace coppice::evaluators::cpu;
using coppice::tests::must;

namespace {

// ThreadSanitizer hands signals over when it suits, and without what a handler changes.
#if defined(__SANITIZE_THREAD__)
constexpr bool kSignalsAreLate = true;
#else
constexpr bool kSignalsAreLate = false;
#endif

constexpr Nanoseconds kLimit = std::chrono::seconds(5 * coppice::tests::kPatience);

// What kernels and test both see.
struct Board {
  std::atomic<std::uint32_t> value;  // "the input"
  std::atomic<std::uint32_t> seen;   // the last value that a kept thread saw
  std::atomic<std::uint32_t> runs[2];
};
Board* g_board = nullptr;
ControlBlock* g_page = nullptr;

void count(const Task* task, void* const*) {
  g_board->runs[task->index[0]].fetch_add(1);
}

// Says that the launch is done and stays, to look at the next values before the bell.
void keep_thread(const Task* task, void* const*) {
  count(task, nullptr);
  g_page->done.store(g_page->arm.load());
  futex_wake(g_page->done);
  while (true) {
    g_board->seen.store(g_board->value.load());
  }
}

// Sleeps in a call of its own instead of returning.
void sleep_inside(const Task* task, void* const*) {
  count(task, nullptr);
  g_page->done.store(g_page->arm.load());
  futex_wake(g_page->done);
  static std::atomic<std::uint32_t> never{0};
  while (true) {
    futex_wait(never, 0, Nanoseconds(-1));
    g_board->seen.store(g_board->value.load());
  }
}

void never_end(const Task*, void* const*) {
  while (true) {
    pause_briefly();
  }
}

void fault(const Task*, void* const*) {
  *reinterpret_cast<volatile int*>(64) = 1;
}

// A process with one slot for each kernel.
struct Stage {
  SharedMemory board = must(SharedMemory::create("board", sizeof(Board)));
  std::optional<Runner> runner;

  Stage(int threads, const std::vector<KernelEntry>& kernels) {
    SharedMemory page = must(SharedMemory::create("control", kControlBytes));
    g_board = reinterpret_cast<Board*>(board.data());
    g_page = reinterpret_cast<ControlBlock*>(page.data());
    std::vector<BoundPlan> plans;
    for (const KernelEntry entry : kernels) {
      BoundStep step;
      step.entry = entry;
      step.grid[0] = threads;
      plans.push_back({step});
    }
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      watch_signals(*g_page);
      static ThreadPool pool(*g_page, threads);
      if (!pool.start() || !pool.set_plans(std::move(plans))) {
        ::_exit(1);
      }
      pool.serve();
    }
    Launch outcome;
    runner.emplace(must(Runner::adopt(pid, std::move(page), {}, {.fetched = true}, outcome)));
  }
  Launch launch(std::uint32_t slot) { return runner->launch(slot, 0, kLimit); }
  std::uint32_t runs(int worker) const { return g_board->runs[worker].load(); }
};

}  // namespace

TEST_CASE("each launch runs each task once, with one thread and with two") {
  if (kSignalsAreLate) {
    COPPICE_SKIP("signals come late under ThreadSanitizer");
  }
  for (const int threads : {1, 2}) {
    Stage stage(threads, {count});
    for (std::uint32_t i = 1; i <= 20; ++i) {
      const Launch launch = stage.launch(0);
      CAPTURE(threads, launch.message);
      REQUIRE(launch.ok());
      CHECK(launch.elapsed > Nanoseconds(0));
      CHECK(launch.waited >= Nanoseconds(0));
      CHECK(stage.runs(0) == i);
      CHECK(stage.runs(1) == (threads == 2 ? i : 0));
    }
  }
}

TEST_CASE("a thread that a kernel kept for itself is fetched before it sees the next values") {
  if (kSignalsAreLate) {
    COPPICE_SKIP("signals come late under ThreadSanitizer");
  }
  for (const KernelEntry cheat : {keep_thread, sleep_inside}) {
    Stage stage(1, {cheat, count});
    g_board->value.store(1);
    REQUIRE(stage.launch(0).ok());  // it says so
    // The process is stopped here: the next values come.
    g_board->value.store(2);
    const Launch next = stage.launch(1);
    CAPTURE(next.message);
    CHECK(next.ok());  // it answered, so it was at the bell
    CHECK(g_board->seen.load() != 2);
  }
}

TEST_CASE("what a kernel writes beside its outputs neither rings nor answers the next launch") {
  if (kSignalsAreLate) {
    COPPICE_SKIP("signals come late under ThreadSanitizer");
  }
  Stage stage(1, {count, count});
  REQUIRE(stage.launch(0).ok());
  g_page->doorbell.store(77);  // as candidate code could write
  g_page->done.store(2);
  const Launch second = stage.launch(1);
  CHECK(second.ok());
  CHECK(stage.runs(0) == 2);
  CHECK(g_page->doorbell.load() == 2);
}

TEST_CASE("a kernel that does not end is a hang, one that faults a crash") {
  if (kSignalsAreLate) {
    COPPICE_SKIP("signals come late under ThreadSanitizer");
  }
  Stage hanging(2, {never_end});
  CHECK(hanging.runner->launch(0, 0, std::chrono::milliseconds(50)).failure == FailureClass::hang);
  CHECK_FALSE(hanging.runner->alive());
  Stage faulting(2, {fault});
  const Launch launch = faulting.launch(0);
  CHECK(launch.failure == FailureClass::crash);
  CHECK(launch.elapsed == Nanoseconds(0));
}
