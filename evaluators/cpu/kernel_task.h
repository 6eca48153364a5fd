// The task that a kernel is given; the same bytes as coppice_task of experiments/include.
#pragma once

#include <cstdint>

namespace coppice::evaluators::cpu {

struct Task {
  std::int64_t index[3];
  std::int64_t grid[3];
  std::int32_t worker;
  std::int32_t workers;
};
static_assert(sizeof(Task) == 56);

}  // namespace coppice::evaluators::cpu
