// Wrong: reads the last page to its end, whatever its length.
#define TWIN_KEYS(length) (((length) + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE)
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
