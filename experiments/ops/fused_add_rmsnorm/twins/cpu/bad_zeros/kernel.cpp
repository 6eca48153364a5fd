// Wrong: all zeros.
#define TWIN_RESULT(y) 0.0f
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
