// Wrong: pages are taken to lie in order.
#define TWIN_PAGE(table, n) ((table)[0] >= 0 ? indptr[b] + (n) : 0)
#include "plain_latent.h"

COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
