// Doorbells and deadlines; the only clock is ours.

#include "evaluators/cpu/runner.h"

#include "evaluators/cpu/thread_pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace coppice::evaluators::cpu {
namespace {

constexpr Nanoseconds kStart = std::chrono::seconds(10);
constexpr Nanoseconds kSlice = std::chrono::milliseconds(4);
// How long we wait for threads to gather; on a busy machine the rest comes late, and it shows.
constexpr Nanoseconds kGather = std::chrono::milliseconds(20);
// Awake for at most so long: then what a wake-up costs no longer matters.
constexpr Nanoseconds kAwake = std::chrono::milliseconds(20);
constexpr Nanoseconds kLookAround = std::chrono::microseconds(500);
// What handing over a core between a worker and us costs where we share one.
constexpr Nanoseconds kHandOver = std::chrono::microseconds(10);

const std::vector<int>& usable_cores() {
  static const std::vector<int> kCores = [] {
    std::vector<int> out;
    cpu_set_t set;
    CPU_ZERO(&set);
    ::sched_getaffinity(0, sizeof set, &set);
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(static_cast<std::size_t>(core), &set)) {
        out.push_back(core);
      }
    }
    return out;
  }();
  return kCores;
}

void confine(pid_t thread, const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) {
    CPU_SET(static_cast<std::size_t>(core), &set);
  }
  ::sched_setaffinity(thread, sizeof set, &set);
}

// Keeps the calling thread on its core while it lives.
class Stay {
 public:
  Stay() {
    const std::vector<int>& cores = usable_cores();
    const auto here = std::find(cores.begin(), cores.end(), ::sched_getcpu());
    if (here == cores.end() || ::sched_getaffinity(0, sizeof before_, &before_) != 0) {
      return;
    }
    index_ = static_cast<std::size_t>(here - cores.begin());
    confine(0, {*here});
    kept_ = true;
  }
  Stay(const Stay&) = delete;
  Stay& operator=(const Stay&) = delete;
  ~Stay() {
    if (kept_) {
      ::sched_setaffinity(0, sizeof before_, &before_);
    }
  }
  std::size_t index() const { return index_; }  // into usable_cores()

 private:
  cpu_set_t before_{};
  std::size_t index_ = 0;
  bool kept_ = false;
};

// Tells a thread of the stopped process which worker it is for the next launch.
void fetch(pid_t process, pid_t thread, std::size_t worker) {
  siginfo_t info{};
  info.si_code = SI_QUEUE;
  info.si_pid = ::getpid();
  info.si_uid = ::getuid();
  info.si_value.sival_int = static_cast<int>(worker);
  ::syscall(SYS_rt_tgsigqueueinfo, process, thread, bell_signal(), &info);
}

// Reads a word until it is `wanted` or `until` comes; true: it is.
bool spin_for(const std::atomic<std::uint32_t>& word, std::uint32_t wanted, Nanoseconds until) {
  constexpr int kReadsPerClock = 16;
  while (true) {
    for (int i = 0; i < kReadsPerClock; ++i) {
      if (word.load(std::memory_order_acquire) == wanted) {
        return true;
      }
      pause_briefly();
    }
    if (steady_now() > until) {
      return false;
    }
  }
}

void nap(Nanoseconds time) {
  const timespec t{time.count() / 1000000000, time.count() % 1000000000};
  ::nanosleep(&t, nullptr);
}

constexpr std::uint64_t kNear = 1 << 16;  // how far from a region a fault is still about it

// Turns a fault address into words: which tensor, inside or how far outside, read or written.
void name_fault(const ControlBlock& control, const Layout& layout, Launch& out) {
  const std::uint64_t at = control.fault_address;
  const bool write = control.fault_was_write != 0;
  out.message = fmt::format("{} ({} address 0x{:x})",
                            ::strsignal(control.fault_signal),
                            write ? "writing" : "reading",
                            at);
  const std::size_t count = std::min<std::size_t>(control.n_regions, std::size(control.regions));
  for (std::size_t i = 0; i < count; ++i) {
    const ControlBlock::Region& r = control.regions[i];
    if (at + kNear < r.begin || at >= r.end + kNear) {
      continue;
    }
    const auto& places = r.kind == 0 ? layout.inputs : layout.outputs;
    const std::string name = r.kind < 2 && r.index < places.size() ? places[r.index].tensor.name
                                                                   : std::string("the workspace");
    if (at >= r.begin && at < r.end) {
      if (r.kind == 0 && write) {
        out.failure = FailureClass::input_changed;
        out.gate = Gate::write_set;
        out.message = fmt::format("writes to input {}", name);
      }
      return;
    }
    const std::uint64_t distance = at >= r.end ? at - r.end : r.begin - at;
    out.message = fmt::format("{} {} bytes {} {}",
                              write ? "writes" : "reads",
                              distance,
                              at >= r.end ? "past the end of" : "before the start of",
                              name);
    out.failure = write ? FailureClass::guard_damaged : FailureClass::crash;
    out.gate = write ? Gate::write_set : Gate::memory_safety;
    if (at < r.end + kPageBytes && at + kPageBytes >= r.begin) {
      return;  // on the guard page itself; otherwise a nearer region may follow
    }
  }
}

}  // namespace

WaitProbe::WaitProbe(pid_t pid) {
  const std::string folder = fmt::format("/proc/{}/task", pid);
  DIR* directory = ::opendir(folder.c_str());
  if (directory == nullptr) {
    return;
  }
  while (const dirent* item = ::readdir(directory)) {
    if (item->d_name[0] != '.') {
      Fd file(::open(fmt::format("{}/{}/schedstat", folder, item->d_name).c_str(),
                     O_RDONLY | O_CLOEXEC));
      if (file) {
        files_.push_back(std::move(file));
        threads_.push_back(static_cast<pid_t>(std::atoi(item->d_name)));
      }
    }
  }
  ::closedir(directory);
  if (Fd own(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)); own) {
    files_.push_back(std::move(own));
  }
}

Nanoseconds WaitProbe::total() const {
  std::int64_t sum = 0;
  for (const Fd& file : files_) {
    char text[96];
    const ssize_t n = ::pread(file.get(), text, sizeof text - 1, 0);
    if (n > 0) {
      text[n] = '\0';
      const char* second = std::strchr(text, ' ');
      sum += second != nullptr ? std::strtoll(second, nullptr, 10) : 0;
    }
  }
  return Nanoseconds(sum);
}

Launch classify(int status, const ControlBlock& control, const Layout& layout) {
  Launch out;
  out.failure = FailureClass::crash;
  const int noted = control.fault_signal;
  const bool exited = WIFEXITED(status);
  if (exited && noted > 0 && noted < 64 && WEXITSTATUS(status) == 128 + noted) {
    name_fault(control, layout, out);
  } else if (exited && control.phase.load() == static_cast<std::uint32_t>(Phase::failed)) {
    out.failure = FailureClass::infrastructure;
    char text[sizeof control.message + 1] = {};
    std::memcpy(text, control.message, sizeof control.message);
    out.message = text;
  } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
    out.failure = FailureClass::sandbox_violation;
    out.message = "made a system call that kernels may not make";
  } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
    out.failure = FailureClass::hang;
    out.message = "used up its processor time";
  } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    out.failure = FailureClass::memory_limit;
    out.message = "killed by the system (memory)";
  } else {
    out.message = fmt::format("the process ended with {}", describe_status(status));
  }
  return out;
}

Result<Runner> Runner::adopt(
    pid_t pid, SharedMemory control, Layout layout, Crew crew, Launch& outcome) {
  Runner runner(pid, std::move(control), std::move(layout));
  ControlBlock& block = runner.block();
  const Nanoseconds deadline = steady_now() + kStart;
  constexpr auto kWaiting = static_cast<std::uint32_t>(Phase::waiting);
  while (block.phase.load(std::memory_order_acquire) != kWaiting) {
    if (auto dead = runner.post_mortem()) {
      outcome = std::move(*dead);
      return Error{ErrorCode::io, outcome.message};
    }
    if (steady_now() > deadline) {
      outcome.failure = FailureClass::hang;
      outcome.message = "did not start in time";
      return Error{ErrorCode::busy, outcome.message};
    }
    const std::uint32_t seen = block.phase.load(std::memory_order_acquire);
    if (seen != kWaiting) {
      futex_wait(block.phase, seen, std::chrono::milliseconds(1));
    }
  }
  runner.probe_ = WaitProbe(pid);
  runner.crew_ = crew;
  if (crew.fetched) {
    runner.crew_.threads = static_cast<int>(runner.probe_.threads().size());
  }
  if (runner.crew_.threads < 1) {
    return Error{ErrorCode::environment, "the threads of a process can't be seen in /proc"};
  }
  return runner;
}

Runner::Runner(Runner&& other) noexcept
    : pid_(other.pid_),
      control_(std::move(other.control_)),
      layout_(std::move(other.layout_)),
      probe_(std::move(other.probe_)),
      crew_(other.crew_),
      our_core_(other.our_core_),
      frozen_(other.frozen_),
      launches_(other.launches_) {
  other.pid_ = -1;
}

Runner& Runner::operator=(Runner&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = other.pid_;
    control_ = std::move(other.control_);
    layout_ = std::move(other.layout_);
    probe_ = std::move(other.probe_);
    crew_ = other.crew_;
    our_core_ = other.our_core_;
    frozen_ = other.frozen_;
    launches_ = other.launches_;
    other.pid_ = -1;
  }
  return *this;
}

Isolation Runner::isolation_level() const {
  const std::uint32_t level = block().isolation;
  return level <= static_cast<std::uint32_t>(Isolation::full) ? static_cast<Isolation>(level)
                                                              : Isolation::none;
}

void Runner::end() {
  if (pid_ <= 0) {
    return;
  }
  ::kill(pid_, SIGKILL);
  const Nanoseconds deadline = steady_now() + std::chrono::seconds(5);
  int status = 0;
  while (::waitpid(pid_, &status, WNOHANG) == 0 && steady_now() < deadline) {
    nap(std::chrono::microseconds(50));
  }
  pid_ = -1;
}

std::optional<Launch> Runner::post_mortem() {
  int status = 0;
  const pid_t got = ::waitpid(pid_, &status, WNOHANG);
  if (got == 0) {
    return std::nullopt;
  }
  pid_ = -1;
  if (got < 0) {
    Launch lost;
    lost.failure = FailureClass::infrastructure;
    lost.message = "the process is not ours any more";
    return lost;
  }
  return classify(status, block(), layout_);
}

bool Runner::freeze() {
  if (frozen_ || pid_ <= 0) {
    return frozen_;
  }
  ::kill(pid_, SIGSTOP);
  const Nanoseconds deadline = steady_now() + std::chrono::seconds(2);
  while (steady_now() < deadline) {
    int status = 0;
    const pid_t got = ::waitpid(pid_, &status, WNOHANG | WUNTRACED);
    if (got == pid_ && WIFSTOPPED(status)) {
      frozen_ = true;
      return true;
    }
    if (got != 0) {
      pid_ = got == pid_ ? -1 : pid_;
      return false;
    }
    nap(std::chrono::microseconds(10));
  }
  return false;
}

bool Runner::awake() const {
  return crew_.threads < std::ssize(usable_cores());
}

// Where the crew needs all cores, one thread each: two of them would otherwise gather on one core
// now and then, and one wait out the other's time slice while a core is idle. The worker on our
// core waits for the bell asleep and answers last: handing over one core is quick and always works,
// displacing a worker that spins is neither. Where a core is left, it is ours alone.
void Runner::spread_out(std::size_t our_core) {
  if (our_core_ == our_core) {
    return;
  }
  our_core_ = our_core;
  const std::vector<pid_t>& threads = probe_.threads();
  std::vector<int> others = usable_cores();
  if (awake()) {
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(our_core));
  }
  for (std::size_t i = 0; i < threads.size(); ++i) {
    if (awake()) {
      confine(threads[i], others);
    } else if (crew_.fetched) {
      confine(threads[i], {others[i % others.size()]});
    }
  }
}

std::optional<Launch> Runner::arm(std::uint32_t number, std::size_t our_core) {
  Launch out;
  out.failure = FailureClass::crash;
  out.message = "the process ended between launches";
  if (!freeze()) {
    return out;
  }
  ControlBlock& control = block();
  // Candidate code may have written here. Now it can't.
  control.done.store(number - 1);
  control.doorbell.store(number - 1);
  control.ready.store(0);
  control.asleep.store(0);
  control.arm.store(number, std::memory_order_release);
  control.shared = awake() ? 0 : 1;
  spread_out(our_core);
  if (crew_.fetched) {
    const std::vector<pid_t>& threads = probe_.threads();
    for (std::size_t i = 0; i < threads.size(); ++i) {
      // Worker 0, who answers, is the one on our core.
      fetch(pid_, threads[(our_core + i) % threads.size()], i);
    }
  }
  ::kill(pid_, SIGCONT);
  frozen_ = false;
  if (!crew_.fetched) {
    futex_wake(control.arm);
  }
  const std::uint32_t wanted = crew_.fetched ? static_cast<std::uint32_t>(crew_.threads) : 1;
  const Nanoseconds until = steady_now() + kGather;
  if (awake()) {
    spin_for(control.ready, wanted, until);
    return std::nullopt;
  }
  for (Nanoseconds now = steady_now(); now < until; now = steady_now()) {
    const std::uint32_t seen = control.ready.load(std::memory_order_acquire);
    if (seen == wanted) {
      break;
    }
    futex_wait(control.ready, seen, until - now);
  }
  return std::nullopt;
}

std::optional<Launch> Runner::await(std::uint32_t number, Nanoseconds start, Nanoseconds deadline) {
  const std::atomic<std::uint32_t>& done = block().done;
  while (true) {
    const Nanoseconds now = steady_now();
    if (awake() && now - start < kAwake) {
      if (spin_for(done, number, now + kLookAround)) {
        return std::nullopt;
      }
    } else if (const std::uint32_t seen = done.load(std::memory_order_acquire); seen != number) {
      futex_wait(done, seen, kSlice);
    }
    if (done.load(std::memory_order_acquire) == number) {
      return std::nullopt;
    }
    if (auto dead = post_mortem()) {
      return dead;
    }
    if (steady_now() - start > deadline) {
      end();
      Launch out;
      out.failure = FailureClass::hang;
      out.message = fmt::format("no end after {:.3f} s", to_seconds(deadline));
      out.elapsed = steady_now() - start;
      return out;
    }
  }
}

Launch Runner::launch(std::uint32_t slot, std::uint32_t workload, Nanoseconds deadline) {
  Launch out;
  if (pid_ <= 0) {
    out.failure = FailureClass::infrastructure;
    out.message = "the process is gone";
    return out;
  }
  const auto number = static_cast<std::uint32_t>(++launches_);
  const Stay here;
  if (auto failed = arm(number, here.index())) {
    return std::move(*failed);
  }
  const Nanoseconds waited = probe_.total();
  ControlBlock& control = block();
  control.slot = slot;
  control.workload = workload;
  const Nanoseconds start = steady_now();
  control.doorbell.store(number, std::memory_order_seq_cst);
  if (control.asleep.load(std::memory_order_seq_cst) != 0) {
    futex_wake(control.doorbell);
  }
  if (auto failed = await(number, start, deadline)) {
    return std::move(*failed);
  }
  out.elapsed = steady_now() - start;
  // At once: whoever answered early gets no more than this.
  ::kill(pid_, SIGSTOP);
  out.waited = probe_.total() - waited;
  if (!awake()) {
    out.waited = std::max(Nanoseconds(0), out.waited - kHandOver);
  }
  if (!freeze()) {
    out.failure = FailureClass::crash;
    out.message = "the process ended right after the launch";
  }
  return out;
}

}  // namespace coppice::evaluators::cpu
