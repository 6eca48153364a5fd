// Wrong: logits without sm_scale.
#define TWIN_SCALE(scale) 1.0f
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
