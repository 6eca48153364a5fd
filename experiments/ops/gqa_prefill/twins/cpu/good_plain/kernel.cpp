// Right: the plainest form.
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
