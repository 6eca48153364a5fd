// Wrong: heads dealt out in turn instead of in groups.
#define TWIN_KV_HEAD(head, group, kv_heads) ((head) % (kv_heads))
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
