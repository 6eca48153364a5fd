// Right: keys from the last to the first.
#define TWIN_ORDER(i, seen) ((seen)-1 - (i))
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
