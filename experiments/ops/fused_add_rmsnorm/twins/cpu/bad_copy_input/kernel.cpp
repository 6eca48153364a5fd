// Wrong: hands back x.
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  const std::int64_t hidden = coppice_dim(args, 5), rows = coppice_dim(args, 4);
  for (std::int64_t i = task->index[0] * 4 * hidden; i < (task->index[0] * 4 + 4) * hidden; ++i) {
    if (i < rows * hidden) {
      coppice_out<T>(args, 3)[i] = coppice_in<T>(args, 0)[i];
    }
  }
}
