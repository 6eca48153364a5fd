// Wrong: eps ten times too small (hardly visible on inputs of unit size).
#define TWIN_EPS(eps) ((eps)*0.1f)
#include "plain_norm.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  normalise_block(task, args);
}
