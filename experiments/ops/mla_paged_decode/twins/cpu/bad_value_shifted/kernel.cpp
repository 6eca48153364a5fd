// Wrong: values start behind the row's first element.
#define TWIN_VALUE 1
#include "plain_latent.h"

COPPICE_KERNEL(attend) {
  attend_block(task, args);
}
