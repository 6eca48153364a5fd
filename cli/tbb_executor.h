// TbbExecutor: parallel loops on oneTBB, in an arena sized from the machine.
#pragma once

#include "core/executor.h"

#include <memory>

namespace coppice::cli {

class TbbExecutor final : public Executor {
 public:
  // 0: one thread a core.
  explicit TbbExecutor(int threads = 0);
  ~TbbExecutor() override;
  void parallel_for(std::size_t count, const std::function<void(std::size_t)>& body) override;
  std::size_t width() const override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coppice::cli
