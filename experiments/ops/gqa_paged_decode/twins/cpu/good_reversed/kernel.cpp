// Right: keys from the last to the first.
#define TWIN_ORDER(i, length) ((length)-1 - (i))
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
