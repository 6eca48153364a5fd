// The calls of the fake driver that only say yes: each is weak, fake_cuda.cpp has the others.
#include "evaluators/cuda/driver_api.h"

namespace coppice::evaluators::cuda {

#define COPPICE_FAKE(member, symbol, parameters)                                    \
  extern "C" __attribute__((weak)) Status fake_##member parameters __asm__(symbol); \
  extern "C" Status fake_##member parameters {                                      \
    return 0;                                                                       \
  }
COPPICE_CUDA_DRIVER_FUNCTIONS(COPPICE_FAKE)

}  // namespace coppice::evaluators::cuda
