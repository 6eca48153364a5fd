// Wrong: each query also sees the next key.
#define TWIN_SEEN(i, n, length) ((i) + 2 + (length) - (n))
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
