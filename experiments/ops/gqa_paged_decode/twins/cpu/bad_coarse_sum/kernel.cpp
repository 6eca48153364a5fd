// Wrong: running sums in bf16.
#define TWIN_SUM(x) coppice_widen(coppice_to_bf16(x))
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
