// Wrong: a query that sees nothing gets NaN.
#define TWIN_MASKED_OUT std::numeric_limits<float>::quiet_NaN()
#include "plain_prefill.h"

// grid: [key/value head, tile of four queries (upper bound)]
COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
