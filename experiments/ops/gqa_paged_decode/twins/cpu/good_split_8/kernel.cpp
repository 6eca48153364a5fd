// Right: eight parts, merged.
#define TWIN_PARTS 8
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
