// Wrong: hands back elements of A.
#include "plain_multiply.h"

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  for_block(task, args, [&](std::int64_t i, std::int64_t j, T& to) {
    to = coppice_in<T>(
        args, 0)[(i * coppice_dim(args, 5) + j) % (coppice_dim(args, 3) * coppice_dim(args, 5))];
  });
}
