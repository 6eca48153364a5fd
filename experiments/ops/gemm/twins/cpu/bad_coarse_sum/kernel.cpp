// Wrong: sums in bf16.
#define TWIN_SUM(x) coppice_widen(coppice_to_bf16(x))
#include "plain_multiply.h"

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
