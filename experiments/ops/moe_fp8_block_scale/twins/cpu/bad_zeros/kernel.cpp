// Wrong: nothing but zeros.
#define TWIN_RESULT(y) (0.0f * (y))
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
