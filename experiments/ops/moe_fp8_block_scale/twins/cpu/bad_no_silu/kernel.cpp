// Wrong: sigmoid where silu is meant.
#define TWIN_GATED(first, second) ((first) / (1.0f + std::exp(-(second))))
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
