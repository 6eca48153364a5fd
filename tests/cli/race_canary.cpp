// A program with a race on purpose, or without: ThreadSanitizer must report the first and nothing
// else. Two bodies of one parallel loop run at once and write what the caller then reads.
#include "cli/tbb_executor.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

namespace {

// Comes back when both bodies are running, or never will be. Relaxed: it must not put them in
// order.
bool meet(std::atomic<int>& arrived) {
  arrived.fetch_add(1, std::memory_order_relaxed);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (arrived.load(std::memory_order_relaxed) < 2) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view kind = argc == 2 ? argv[1] : "";
  if (kind != "racing" && kind != "ordered") {
    std::puts("usage: race_canary racing|ordered");
    return 2;
  }
  coppice::cli::TbbExecutor executor(2);
  std::atomic<int> arrived{0}, alone{0};
  std::vector<int> written = {0, 0};
  executor.parallel_for(2, [&](std::size_t i) {
    if (!meet(arrived)) {
      alone.fetch_add(1, std::memory_order_relaxed);
    }
    written[kind == "racing" ? 0 : i] += 1;
  });
  if (alone.load() > 0) {
    std::puts("no second thread came within a minute");
    return 3;
  }
  // What loops wrote, read and freed by their caller; the second is cut into many tasks.
  std::vector<std::vector<int>> many(20000);
  executor.parallel_for(many.size(), [&](std::size_t i) { many[i].assign(3, written[0]); });
  std::size_t sum = 0;
  for (const std::vector<int>& one : many) {
    sum += one.size();
  }
  std::printf("%s: %d and %zu\n", argv[1], written[0] + written[1], sum);
  return 0;
}
