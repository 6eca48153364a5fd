// Wrong: leaves out the last product of longer sums.
#define TWIN_DEPTH(k) ((k) > 4 ? (k)-1 : (k))
#include "plain_multiply.h"

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
