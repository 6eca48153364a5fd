// Wrong: hands back elements of the hidden state.
#include "plain_moe.h"

// grid: [block of inner rows, pair]
COPPICE_KERNEL(project) {
  project_block(task, args);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  const std::int64_t hidden = coppice_dim(args, 6), inter = coppice_dim(args, 7);
  const std::int64_t begin = task->index[0] * 32;
  for (std::int64_t d = begin; d < std::min(begin + 32, hidden); ++d) {
    coppice_out<T>(args, 4)[task->index[1] * hidden + d] =
        coppice_narrow<T>(coppice_in<float>(args, 0)[d % inter]);
  }
}
