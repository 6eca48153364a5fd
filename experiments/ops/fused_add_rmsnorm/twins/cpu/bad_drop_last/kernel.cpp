// Wrong: the last element is not in the mean.
#define TWIN_COUNTED(hidden) ((hidden) > 1 ? (hidden)-1 : (hidden))
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
