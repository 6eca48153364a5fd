// Wrong: scales its query in place.
#include "plain_latent.h"

COPPICE_KERNEL(attend) {
  attend_block(task, args);
  T* query = static_cast<T*>(args[0]);
  query[0] = coppice_narrow<T>(coppice_widen(query[0]) * 0.5f);
}
