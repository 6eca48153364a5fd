// Wrong: all blocks of a row have the scale of its first.
#define TWIN_SCALE_BLOCK(block, n) 0
#include "plain_fp8_moe.h"

// grid: [token]
COPPICE_KERNEL(choose) {
  choose_experts(task, args);
}

// grid: [block of inner rows, slot]
COPPICE_KERNEL(project) {
  project_block(task, args, 32);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  collect_block(task, args, 32);
}
