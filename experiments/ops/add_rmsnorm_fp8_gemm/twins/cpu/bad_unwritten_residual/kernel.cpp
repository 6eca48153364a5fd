// Wrong: the updated residual of the last row is never written; the result is right.
#include "plain_fp8_rows.h"

// grid: [row]
COPPICE_KERNEL(normalise) {
  if (task->index[0] + 1 < coppice_dim(args, 6) || task->index[0] == 0) {
    normalise_row(task, args);
    return;
  }
  coppice_bf16 elsewhere[16384];
  void* moved[9];
  std::copy(args, args + 9, moved);
  moved[3] = elsewhere - task->index[0] * coppice_dim(args, 7);
  normalise_row(task, moved);
}

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
