// Right: eight partial sums.
#define TWIN_PARTS 8
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
