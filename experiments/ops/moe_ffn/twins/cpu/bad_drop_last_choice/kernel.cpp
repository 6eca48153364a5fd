// Wrong: the last chosen expert of each token is left out.
#define TWIN_CHOSEN(top_k) ((top_k) > 1 ? (top_k)-1 : (top_k))
#include "plain_moe.h"

// grid: [block of inner rows, pair]
COPPICE_KERNEL(project) {
  project_block(task, args);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  collect_block(task, args);
}
