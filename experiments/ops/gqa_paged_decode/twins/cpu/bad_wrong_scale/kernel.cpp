// Wrong: a scale that is 2 % too large.
#define TWIN_SCALE(scale) ((scale)*1.02f)
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
