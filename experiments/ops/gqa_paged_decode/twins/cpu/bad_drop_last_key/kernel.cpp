// Wrong: never reads the last key of a longer sequence.
#define TWIN_KEYS(length) ((length) > 1 ? (length)-1 : (length))
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
