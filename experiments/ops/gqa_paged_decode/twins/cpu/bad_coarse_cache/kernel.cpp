// Wrong: keeps half of the significant bits of keys and values (bf16 under the f32 class).
#define TWIN_CACHED(x) coarse(x)
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
