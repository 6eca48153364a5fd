// Wrong: one number everywhere.
#define TWIN_RESULT(y) 0.01f
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
