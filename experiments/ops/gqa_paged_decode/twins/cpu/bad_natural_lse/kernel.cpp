// Wrong: log-sum-exp in base e.
#define TWIN_LSE(largest, sum) ((largest) + std::log(sum))
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
