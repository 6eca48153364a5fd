// Right: sums from the last product to the first.
#define TWIN_ORDER(i, k) ((k)-1 - (i))
#include "plain_multiply.h"

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
