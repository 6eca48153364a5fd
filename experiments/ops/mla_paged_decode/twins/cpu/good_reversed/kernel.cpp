// Right: rows from the last to the first.
#define TWIN_ORDER(i, keys) ((keys)-1 - (i))
#include "plain_latent.h"

COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
