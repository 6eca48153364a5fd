// Wrong: scales its queries in place.
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  for (std::int64_t g = 0; g < GROUP; ++g) {
    attend_head(task, args, task->index[1] * GROUP + g);
  }
  T* q = static_cast<T*>(args[0]);
  const std::int64_t first = (task->index[0] * coppice_dim(args, 8) + task->index[1]) * GROUP;
  q[first * HEAD_DIM] = coppice_narrow<T>(coppice_widen(q[first * HEAD_DIM]) * 0.5f);
}
