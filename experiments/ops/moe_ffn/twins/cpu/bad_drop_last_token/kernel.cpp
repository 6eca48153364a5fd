// Wrong: leaves the last token unwritten.
#include "plain_moe.h"

// grid: [block of inner rows, pair]
COPPICE_KERNEL(project) {
  project_block(task, args);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  if (task->index[1] + 1 < task->grid[1] || task->grid[1] == 1) {
    collect_block(task, args);
  }
}
