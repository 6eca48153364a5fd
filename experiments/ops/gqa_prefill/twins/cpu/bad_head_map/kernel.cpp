// Wrong: heads dealt out in turn instead of in groups.
#define TWIN_KV_HEAD(head, group, kv_heads) ((head) % (kv_heads))
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
