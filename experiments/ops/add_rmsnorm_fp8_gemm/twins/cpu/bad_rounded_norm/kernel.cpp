// Wrong for its precision class: the normalised row is rounded to bf16 before it is quantised.
#define TWIN_NORMED(y) coppice_widen(coppice_to_bf16((y)*root)) / root
#include "plain_fp8_rows.h"

// grid: [row]
COPPICE_KERNEL(normalise) {
  normalise_row(task, args);
}

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
