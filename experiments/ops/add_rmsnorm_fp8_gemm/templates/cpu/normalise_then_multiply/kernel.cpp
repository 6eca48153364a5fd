// Unfused: one step adds, normalises and quantises each row once into the workspace, the next one
// multiplies blocks of rows and columns.
#include "fp8_rows.h"

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  const std::int64_t rows = coppice_dim(args, 6), hidden = coppice_dim(args, 7);
  alignas(64) float products[16384];
  const std::int64_t first = task->index[0] * NORM_ROWS;
  for (std::int64_t r = first; r < std::min(first + NORM_ROWS, rows); ++r) {
    const RowSource row{coppice_in<coppice_bf16>(args, 0) + r * hidden,
                        coppice_in<coppice_bf16>(args, 1) + r * hidden,
                        coppice_in<coppice_bf16>(args, 2),
                        coppice_out<coppice_bf16>(args, 3) + r * hidden,
                        hidden,
                        coppice_scalar(args, 8)};
    coppice_out<float>(args, 5)[r] =
        quantise_row(row, products, coppice_out<Kept>(args, 4) + r * hidden);
  }
}

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  const std::int64_t rows = coppice_dim(args, 5), hidden = coppice_dim(args, 6);
  const std::int64_t columns = coppice_dim(args, 7), first = task->index[1] * BLOCK_ROWS;
  Block b{coppice_in<Kept>(args, 0) + first * hidden,
          coppice_in<float>(args, 1) + first,
          coppice_in<std::uint8_t>(args, 2),
          coppice_in<float>(args, 3),
          coppice_out<coppice_bf16>(args, 4),
          first,
          std::min<std::int64_t>(BLOCK_ROWS, rows - first),
          task->index[0] * BLOCK_COLUMNS,
          0,
          columns,
          hidden};
  b.columns = std::min<std::int64_t>(BLOCK_COLUMNS, columns - b.first_column);
  multiply_block(b);
}
