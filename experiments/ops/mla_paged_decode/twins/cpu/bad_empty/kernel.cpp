// Wrong: a sequence without rows gets NaN.
#define TWIN_EMPTY std::numeric_limits<float>::quiet_NaN()
#include "plain_latent.h"

COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
