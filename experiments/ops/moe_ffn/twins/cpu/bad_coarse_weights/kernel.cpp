// Wrong: keeps half of the significant bits of the weights (bf16 under the f32 class).
#define TWIN_WEIGHT_IN(x) coarse(x)
#include "plain_moe.h"

// grid: [block of inner rows, pair]
COPPICE_KERNEL(project) {
  project_block(task, args);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  collect_block(task, args);
}
