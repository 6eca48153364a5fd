// Doorbells and deadlines; the only clock is ours.

#include "evaluators/cpu/runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

namespace coppice::evaluators::cpu {
namespace {

constexpr Nanoseconds kStart = std::chrono::seconds(10);
constexpr Nanoseconds kSlice = std::chrono::milliseconds(4);
// After a process continues, its threads go back to waiting for the doorbell.
constexpr Nanoseconds kSettle = std::chrono::microseconds(80);

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
      }
    }
  }
  ::closedir(directory);
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

Result<Runner> Runner::adopt(pid_t pid, SharedMemory control, Layout layout, Launch& outcome) {
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
  return runner;
}

Runner::Runner(Runner&& other) noexcept
    : pid_(other.pid_),
      control_(std::move(other.control_)),
      layout_(std::move(other.layout_)),
      probe_(std::move(other.probe_)),
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

void Runner::resume() {
  if (frozen_) {
    ::kill(pid_, SIGCONT);
    frozen_ = false;
    nap(kSettle);
  }
}

Launch Runner::launch(std::uint32_t slot, std::uint32_t workload, Nanoseconds deadline) {
  Launch out;
  if (pid_ <= 0) {
    out.failure = FailureClass::infrastructure;
    out.message = "the process is gone";
    return out;
  }
  ControlBlock& control = block();
  control.slot = slot;
  control.workload = workload;
  const std::uint32_t number = control.doorbell.load() + 1;
  resume();
  const Nanoseconds waited = probe_.total();
  const Nanoseconds start = steady_now();
  control.doorbell.store(number, std::memory_order_release);
  futex_wake(control.doorbell);
  ++launches_;
  while (true) {
    const std::uint32_t seen = control.done.load(std::memory_order_acquire);
    if (seen == number) {
      break;
    }
    futex_wait(control.done, seen, kSlice);
    if (control.done.load(std::memory_order_acquire) == number) {
      break;
    }
    if (auto dead = post_mortem()) {
      return std::move(*dead);
    }
    if (steady_now() - start > deadline) {
      end();
      out.failure = FailureClass::hang;
      out.message = fmt::format("no end after {:.3f} s", to_seconds(deadline));
      out.elapsed = steady_now() - start;
      return out;
    }
  }
  out.elapsed = steady_now() - start;
  if (!freeze()) {
    out.failure = FailureClass::crash;
    out.message = "the process ended right after the launch";
    return out;
  }
  out.waited = probe_.total() - waited;
  return out;
}

}  // namespace coppice::evaluators::cpu
