// expect: binary plan_invalid
// Has no kernel of the name that the plan launches.
#include "coppice_cpu.h"

COPPICE_KERNEL(other) {}
