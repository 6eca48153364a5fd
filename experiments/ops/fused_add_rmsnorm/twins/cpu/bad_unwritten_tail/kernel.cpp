// Wrong: leaves the last element of longer rows unwritten.
#define TWIN_WIDTH(hidden) ((hidden) > 8 ? (hidden)-1 : (hidden))
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
