// Wrong: logits scaled by 1/16.
#define TWIN_SCALE(scale) 0.0625f
#include "plain_latent.h"

COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
