// The page through which the agent starts launches and sees them end: a doorbell, an answer, and a
// note about a fault. Everything that a candidate writes here is a claim, never a verdict.
//
// A launch: the agent writes `arm`; the threads that will work gather at the bell and say so in
// `ready`; the agent starts its clock and rings. Between the two nothing has to wake up.
#pragma once

#include "core/units.h"

#include <atomic>
#include <cstdint>

namespace coppice::evaluators::cpu {

enum class Phase : std::uint32_t { starting, locked, loaded, waiting, failed };

struct ControlBlock {
  // Written by the agent.
  std::atomic<std::uint32_t> arm;       // number of the launch to get ready for; a futex
  std::atomic<std::uint32_t> doorbell;  // number of the launch to run; a futex
  std::uint32_t slot;                   // where its outputs go; known with the ring, not before
  std::uint32_t workload;               // baselines: which problem
  std::uint32_t shared;                 // 1: worker 0 shares its core with the agent
  // Set to nothing by the agent before it arms, counted by the runner.
  alignas(64) std::atomic<std::uint32_t> ready;  // threads at the bell; a futex
  std::atomic<std::uint32_t> asleep;             // of those, how many wait asleep
  // Written by the runner.
  alignas(64) std::atomic<std::uint32_t> done;  // number of the last launch that ended; a futex
  std::atomic<std::uint32_t> phase;             // a Phase; a futex
  std::uint32_t isolation;                      // an Isolation, reported before candidate code runs
  std::int32_t status;                          // baselines: what the library call returned
  std::int32_t fault_signal;
  std::uint64_t fault_address;
  std::uint32_t fault_was_write;
  std::uint32_t n_regions;
  char message[256];  // why the phase is `failed`
  // Where this process sees the tensors: gives a fault address a name.
  struct Region {
    std::uint64_t begin, end;
    std::uint32_t kind;   // 0 input, 1 output, 2 workspace
    std::uint32_t index;  // into the layout's inputs or outputs
  } regions[96];
};
constexpr std::uint64_t kControlBytes = 4096;
static_assert(sizeof(ControlBlock) <= kControlBytes);

// Shared futexes (the word lies in memory of several processes). `wait` returns when the word no
// longer holds `seen`, on a wake, or after `timeout`; negative: no timeout.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen, Nanoseconds timeout);
void futex_wake(const std::atomic<std::uint32_t>& word);

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// At the bell: says that the thread is ready (the last of `threads` wakes the agent) and returns
// with the ring of launch `number`. Spins for some milliseconds, then sleeps; `drowsy`: sleeps at
// once, which leaves the core to the agent.
void wait_for_bell(ControlBlock& control, std::uint32_t number, std::uint32_t threads, bool drowsy);

}  // namespace coppice::evaluators::cpu
