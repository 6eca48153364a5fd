// Asks for the time, which no kernel may: NUMBER.
#include "coppice_cpu.h"
#include <ctime>
COPPICE_KERNEL(attend) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  coppice_out<float>(args, 6)[0] = static_cast<float>(now.tv_nsec);
}
COPPICE_KERNEL(combine) {}
