// Wrong: each column has the next one's scale.
#define TWIN_WEIGHT_SCALE(scales, c, columns) (scales)[((c) + 1) % (columns)]
#include "plain_fp8_rows.h"

// grid: [row]
COPPICE_KERNEL(normalise) {
  normalise_row(task, args);
}

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
