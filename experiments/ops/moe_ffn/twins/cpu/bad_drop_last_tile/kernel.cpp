// Wrong: only whole tiles of 8 products, less one.
#define TWIN_DEPTH(n) ((n) > 16 ? ((n)-1) / 8 * 8 : (n))
#include "plain_moe.h"

// grid: [block of inner rows, pair]
COPPICE_KERNEL(project) {
  project_block(task, args);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  collect_block(task, args);
}
