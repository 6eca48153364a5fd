// Wrong: the norm goes on with the sum as it was before it was rounded to bf16.
#define TWIN_ADDED(s) (s)
#include "plain_fp8_rows.h"

// grid: [row]
COPPICE_KERNEL(normalise) {
  normalise_row(task, args);
}

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
