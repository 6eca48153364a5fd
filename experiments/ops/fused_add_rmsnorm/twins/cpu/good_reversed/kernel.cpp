// Right: squares summed from the last to the first.
#define TWIN_ORDER(i, hidden) ((hidden)-1 - (i))
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
