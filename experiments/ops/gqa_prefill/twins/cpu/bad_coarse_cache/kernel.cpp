// Wrong: keeps half of the significant bits of keys and values (bf16 under the f32 class).
#define TWIN_CACHED(x) coarse(x)
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
