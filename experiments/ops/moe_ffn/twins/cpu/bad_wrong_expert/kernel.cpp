// Wrong: another expert's weights.
#define TWIN_EXPERT(expert) ((expert) == 0 ? 0 : (expert)-1)
#include "plain_moe.h"

// grid: [block of inner rows, pair]
COPPICE_KERNEL(project) {
  project_block(task, args);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  collect_block(task, args);
}
