// Right: the plainest form.
#include "plain_latent.h"

COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
