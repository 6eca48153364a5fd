// Wrong: the weight is not applied.
#define TWIN_WEIGHT(w) 1.0f
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
