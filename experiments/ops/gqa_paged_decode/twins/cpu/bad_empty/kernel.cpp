// Wrong: a sequence without keys gets NaN.
#define TWIN_EMPTY_OUT std::numeric_limits<float>::quiet_NaN()
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
