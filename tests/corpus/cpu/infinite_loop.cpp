// expect: smoke hang
// Never ends. Independent of any plan: the benchmark uses it too.
#include "coppice_cpu.h"

static inline void forever() {
  volatile int on = 1;
  while (on) {
  }
}
COPPICE_KERNEL(scale) { forever(); }
COPPICE_KERNEL(attend) { forever(); }
COPPICE_KERNEL(combine) { forever(); }
