// Does not build: NUMBER.
#include "coppice_cpu.h"
COPPICE_KERNEL(attend) {
  out[task->index[0]] = fast_attention_of(NUMBER;
}
