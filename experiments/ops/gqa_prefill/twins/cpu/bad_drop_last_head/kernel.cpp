// Wrong: leaves the last query head of each group unwritten.
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args, GROUP - 1);
}
