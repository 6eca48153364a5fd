// Wrong: keeps half of the significant bits of the inputs (bf16 under the f32 class).
#define TWIN_INPUT(x) coarse(x)
#include "plain_multiply.h"

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  multiply_block(task, args);
}
