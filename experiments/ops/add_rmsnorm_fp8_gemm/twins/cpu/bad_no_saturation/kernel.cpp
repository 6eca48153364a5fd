// Wrong: the largest becomes 512, beyond e4m3, and nothing saturates.
#define TWIN_TOP 512.0f
#define TWIN_NO_SATURATION 1
#include "plain_fp8_rows.h"

// grid: [row]
COPPICE_KERNEL(normalise) {
  normalise_row(task, args);
}

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
