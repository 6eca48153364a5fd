// Counts signals.
#include "cli/interrupts.h"

#include "core/check.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace coppice::cli {
namespace {

// A signal handler can reach nothing but a global.
std::atomic<int> g_count{0};              // NOLINT
struct sigaction g_before[2] = {{}, {}};  // NOLINT
constexpr int kSignals[2] = {SIGINT, SIGTERM};
static_assert(std::atomic<int>::is_always_lock_free);

void count_signal(int /*signal*/) {
  if (g_count.fetch_add(1) >= 2) {
    ::_exit(130);
  }
}

}  // namespace

Interrupts::Interrupts() {
  g_count = 0;
  struct sigaction action {};
  action.sa_handler = count_signal;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (int i = 0; i < 2; ++i) {
    COPPICE_CHECK(::sigaction(kSignals[i], &action, &g_before[i]) == 0);
  }
}

Interrupts::~Interrupts() {
  for (int i = 0; i < 2; ++i) {
    ::sigaction(kSignals[i], &g_before[i], nullptr);
  }
}

int Interrupts::count() {
  return g_count.load();
}

}  // namespace coppice::cli
