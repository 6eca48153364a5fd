// Wrong: the newest row is left out where there are others.
#define TWIN_KEYS(length) ((length) > 1 ? (length)-1 : (length))
#include "plain_latent.h"

COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
