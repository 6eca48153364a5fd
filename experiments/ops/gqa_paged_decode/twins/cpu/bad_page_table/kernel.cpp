// Wrong: reads the first page of a sequence twice and its second never.
#define TWIN_PAGE(pages, n) ((pages)[(n) == 1 ? 0 : (n)])
#include "plain_attend.h"

// grid: [sequence, key/value head]
COPPICE_KERNEL(attend) {
  attend_group(task, args);
}
