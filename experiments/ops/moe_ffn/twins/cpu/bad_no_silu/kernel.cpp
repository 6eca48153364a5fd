// Wrong: sigmoid where silu is meant.
#define TWIN_GATED(gate, up) ((up) / (1.0f + std::exp(-(gate))))
#include "plain_moe.h"

// grid: [block of inner rows, pair]
COPPICE_KERNEL(project) {
  project_block(task, args);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  collect_block(task, args);
}
