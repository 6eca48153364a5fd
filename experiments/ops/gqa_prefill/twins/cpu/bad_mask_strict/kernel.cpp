// Wrong: no query sees its own key, but for the first.
#define TWIN_SEEN(i, n, length) \
  ((i) + (length) - (n) > 0 ? (i) + (length) - (n) : (i) + 1 + (length) - (n))
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
