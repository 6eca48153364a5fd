// Wrong for its precision class: five bits are kept of the inner state.
static inline float coarse(float x) {
  unsigned bits;
  __builtin_memcpy(&bits, &x, 4);
  bits = (bits + (1u << 18)) & ~((1u << 19) - 1);
  __builtin_memcpy(&x, &bits, 4);
  return x;
}
#define TWIN_INNER(x) coarse(x)
#include "plain_fp8_moe.h"

// grid: [token]
COPPICE_KERNEL(choose) {
  choose_experts(task, args);
}

// grid: [block of inner rows, slot]
COPPICE_KERNEL(project) {
  project_block(task, args, 32);
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  collect_block(task, args, 32);
}
