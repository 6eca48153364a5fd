// Wrong: each row has the next one's scale.
#define TWIN_SCALE_ROW(r, rows) (((r) + 1) % (rows))
#include "plain_fp8_rows.h"

// grid: [row]
COPPICE_KERNEL(normalise) {
  normalise_row(task, args);
}

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
