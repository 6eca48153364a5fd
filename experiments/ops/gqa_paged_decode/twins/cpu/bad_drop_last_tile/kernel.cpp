// Wrong: only whole tiles of 16 keys, where there is one.
#define TWIN_KEYS(length) ((length) > 32 ? ((length)-1) / 16 * 16 : (length))
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
