// Leaves every output as it finds it: NUMBER.
#include "coppice_cpu.h"
COPPICE_KERNEL(attend) {}
COPPICE_KERNEL(combine) {}
