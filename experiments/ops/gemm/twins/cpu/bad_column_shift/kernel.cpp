// Wrong: columns shifted by one.
#define TWIN_COLUMN(j, n) (((j) + 1) % (n))
#include "plain_multiply.h"

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
