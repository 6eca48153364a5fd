// Wrong: running sums in bf16.
#define TWIN_SUM(x) coppice_widen(coppice_to_bf16(x))
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
