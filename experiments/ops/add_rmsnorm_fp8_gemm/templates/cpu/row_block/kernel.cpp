// Fused: each task adds, normalises and quantises its own rows into its stack (L2) and multiplies
// them at once. No second step and no workspace; tasks that share rows repeat the norm.
#include "fp8_rows.h"

namespace {

constexpr std::int64_t kMostElements = 131072;  // of a block of rows, as claimed
constexpr std::int64_t kLongest = 16384;

}  // namespace

// grid: [block of columns, block of rows]
COPPICE_KERNEL(normalise_and_multiply) {
  const std::int64_t rows = coppice_dim(args, 7), hidden = coppice_dim(args, 8);
  const std::int64_t columns = coppice_dim(args, 9);
  alignas(64) Kept kept[kMostElements];
  alignas(64) float products[kLongest];
  float scales[BLOCK_ROWS];
  Block b{kept,
          scales,
          coppice_in<std::uint8_t>(args, 3),
          coppice_in<float>(args, 4),
          coppice_out<coppice_bf16>(args, 5),
          task->index[1] * BLOCK_ROWS,
          0,
          task->index[0] * BLOCK_COLUMNS,
          0,
          columns,
          hidden};
  b.rows = std::min<std::int64_t>(BLOCK_ROWS, rows - b.first_row);
  b.columns = std::min<std::int64_t>(BLOCK_COLUMNS, columns - b.first_column);
  for (std::int64_t i = 0; i < b.rows; ++i) {
    const std::int64_t at = (b.first_row + i) * hidden;
    const RowSource row{coppice_in<coppice_bf16>(args, 0) + at,
                        coppice_in<coppice_bf16>(args, 1) + at,
                        coppice_in<coppice_bf16>(args, 2),
                        task->index[0] == 0 ? coppice_out<coppice_bf16>(args, 6) + at : nullptr,
                        hidden,
                        coppice_scalar(args, 10)};
    scales[i] = quantise_row(row, products, kept + i * hidden);
  }
  multiply_block(b);
}
