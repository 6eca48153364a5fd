// Runs parallel loops on oneTBB.
#include "cli/tbb_executor.h"

#include "core/loop_order.h"

#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <thread>

namespace coppice::cli {

// More threads than cores are allowed (results must not depend on it): the global limit is raised
// with the arena.
struct TbbExecutor::State {
  explicit State(int threads)
      : limit(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)),
        arena(threads) {}
  tbb::global_control limit;
  tbb::task_arena arena;
};

TbbExecutor::TbbExecutor(int threads)
    : state_(std::make_unique<State>(
          threads > 0 ? threads
                      : static_cast<int>(std::max(1u, std::thread::hardware_concurrency())))) {}

TbbExecutor::~TbbExecutor() = default;

void TbbExecutor::parallel_for(std::size_t count, const std::function<void(std::size_t)>& body) {
  LoopOrder order;
  order.begin();
  state_->arena.execute([&] {
    tbb::parallel_for(std::size_t{0}, count, [&](std::size_t i) {
      order.enter_body();
      body(i);
      order.leave_body();
    });
  });
  order.end();
}

std::size_t TbbExecutor::width() const {
  return static_cast<std::size_t>(state_->arena.max_concurrency());
}

}  // namespace coppice::cli
