// Wrong: sums only whole tiles of 8 products, less one tile.
#define TWIN_DEPTH(k) ((k) > 16 ? ((k)-1) / 8 * 8 : (k))
#include "plain_multiply.h"

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
