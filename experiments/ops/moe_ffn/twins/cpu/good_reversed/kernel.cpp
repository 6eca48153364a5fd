// Right: sums from the last product to the first.
#define TWIN_ORDER(i, n) ((n)-1 - (i))
#include "plain_moe.h"

// grid: [block of inner rows, pair]
COPPICE_KERNEL(project) {
  project_block(task, args);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  collect_block(task, args);
}
