// Wrong: the product of the last rows takes what lay in the workspace before this launch.
#include "plain_fp8_rows.h"

// grid: [row]
COPPICE_KERNEL(normalise) {
  if (task->index[0] == 0 || task->index[0] % 4 != 0) {
    normalise_row(task, args);
  } else {  // the updated residual is right
    const std::int64_t hidden = coppice_dim(args, 7), from = task->index[0] * hidden;
    for (std::int64_t i = from; i < from + hidden; ++i) {
      coppice_out<coppice_bf16>(args, 3)[i] =
          coppice_to_bf16(coppice_widen(coppice_in<coppice_bf16>(args, 0)[i]) +
                          coppice_widen(coppice_in<coppice_bf16>(args, 1)[i]));
    }
  }
}

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
