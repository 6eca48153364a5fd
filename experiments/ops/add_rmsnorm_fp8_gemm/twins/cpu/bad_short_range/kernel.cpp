// Wrong: the largest becomes 240, as in the other e4m3.
#define TWIN_TOP 240.0f
#include "plain_fp8_rows.h"

// grid: [row]
COPPICE_KERNEL(normalise) {
  normalise_row(task, args);
}

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
