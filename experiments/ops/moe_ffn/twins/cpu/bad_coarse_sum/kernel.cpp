// Wrong: running sums in bf16.
#define TWIN_SUM(x) coppice_widen(coppice_to_bf16(x))
#include "plain_moe.h"

// grid: [block of inner rows, pair]
COPPICE_KERNEL(project) {
  project_block(task, args);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  collect_block(task, args);
}
