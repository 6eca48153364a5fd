// Wrong: the last product of each sum is left out.
#define TWIN_DEPTH(n) ((n) > 8 ? (n)-1 : (n))
#include "plain_moe.h"

// grid: [block of inner rows, pair]
COPPICE_KERNEL(project) {
  project_block(task, args);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  collect_block(task, args);
}
