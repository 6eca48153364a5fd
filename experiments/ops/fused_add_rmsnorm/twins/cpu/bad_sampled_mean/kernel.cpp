// Wrong: the mean of the first half stands for the whole.
#define TWIN_ORDER(i, hidden) ((i) % (((hidden) + 1) / 2))
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
