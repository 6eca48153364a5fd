// Wrong: only whole tiles of 8, less one, are in the mean.
#define TWIN_COUNTED(hidden) ((hidden) > 16 ? ((hidden)-1) / 8 * 8 : (hidden))
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
