// Right: the products in eight partial sums.
#define TWIN_PARTS 8
#include "plain_fp8_rows.h"

// grid: [row]
COPPICE_KERNEL(normalise) {
  normalise_row(task, args);
}

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
