// Wrong: log-sum-exp in base e.
#define TWIN_LSE(top, sum) ((top) + std::log(sum))
#include "plain_latent.h"

COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
