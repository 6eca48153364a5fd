// Wrong: aligned at the first key instead of the last.
#define TWIN_SEEN(i, n, length) ((i) + 1)
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
