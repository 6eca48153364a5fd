// Wrong: never reads the last tenth of the keys.
#define TWIN_KEYS(length) ((length) - (length) / 10)
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
