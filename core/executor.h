// Executor: the one interface behind which parallel loops run (oneTBB in cli, one thread in tests).
#pragma once

#include <cstddef>
#include <functional>

namespace coppice {

class Executor {
 public:
  virtual ~Executor() = default;
  // Calls body(i) once for each i in [0, count), in any order, on any thread, and returns when all
  // have. body must not block and must not throw; results must not depend on the order.
  virtual void parallel_for(std::size_t count, const std::function<void(std::size_t)>& body) = 0;
  virtual std::size_t width() const = 0;
};

// Runs everything on the calling thread.
class InlineExecutor final : public Executor {
 public:
  void parallel_for(std::size_t count, const std::function<void(std::size_t)>& body) override {
    for (std::size_t i = 0; i < count; ++i) {
      body(i);
    }
  }
  std::size_t width() const override { return 1; }
};

}  // namespace coppice
