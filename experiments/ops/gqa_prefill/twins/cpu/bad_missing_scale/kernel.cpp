// Wrong: logits without sm_scale.
#define TWIN_SCALE(scale) 1.0f
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
