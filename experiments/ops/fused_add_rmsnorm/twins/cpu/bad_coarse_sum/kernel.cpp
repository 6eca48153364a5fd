// Wrong: keeps half of the significant bits of the sums (bf16 under the f32 class).
#define TWIN_ADDED(y) coarse(y)
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
