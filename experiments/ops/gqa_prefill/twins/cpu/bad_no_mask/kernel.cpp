// Wrong: every query sees all keys.
#define TWIN_SEEN(i, n, length) (length)
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
