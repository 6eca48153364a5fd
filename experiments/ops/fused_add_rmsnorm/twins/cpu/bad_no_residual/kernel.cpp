// Wrong: the residual is not added.
#define TWIN_RESIDUAL(r) 0.0f
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
