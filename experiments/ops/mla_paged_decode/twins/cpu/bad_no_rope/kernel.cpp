// Wrong: the rotary part never meets the query.
#define TWIN_KEY_WIDTH LATENT
#include "plain_latent.h"

COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
