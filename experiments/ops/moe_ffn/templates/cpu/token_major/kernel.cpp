// Token by token: each (token, expert) pair is a pair of matrix-vector products of its own. Nothing
// is collected; an expert that several tokens share is read once for each of them.
#include "expert_dot.h"

namespace {

constexpr int kRows = TILE_ROWS;

}  // namespace

// grid: [block of inner rows, pair]; gate and up rows together, then SwiGLU
COPPICE_KERNEL(project) {
  const std::int64_t pair = task->index[1], top_k = coppice_dim(args, 4);
  const std::int64_t hidden = coppice_dim(args, 5), inter = coppice_dim(args, 6);
  const std::int64_t expert = coppice_in<std::int32_t>(args, 2)[pair];
  const std::int64_t begin = task->index[0] * BLOCK_INNER;
  const std::int64_t end = std::min<std::int64_t>(begin + BLOCK_INNER, inter);
  const W* gate = coppice_in<W>(args, 1) + expert * 2 * inter * hidden;
  const T* x = coppice_in<T>(args, 0) + pair / top_k * hidden;
  Inner* inner = coppice_out<Inner>(args, 3) + pair * inter;
  for (std::int64_t row = begin; row < end; row += kRows) {
    const W* rows[2 * kRows];
    for (int r = 0; r < kRows; ++r) {
      rows[r] = gate + std::min(row + r, end - 1) * hidden;
      rows[kRows + r] = rows[r] + inter * hidden;
    }
    float sums[2 * kRows][1];
#if FUSE_GATE_UP
    dot_tile<2 * kRows, 1>(rows, &x, hidden, sums);
#else
    dot_tile<kRows, 1>(rows, &x, hidden, sums);
    dot_tile<kRows, 1>(rows + kRows, &x, hidden, sums + kRows);
#endif
    for (int r = 0; r < kRows && row + r < end; ++r) {
      inner[row + r] = coppice_narrow<Inner>(silu(sums[r][0]) * sums[kRows + r][0]);
    }
  }
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  const std::int64_t token = task->index[1], top_k = coppice_dim(args, 5);
  const std::int64_t hidden = coppice_dim(args, 6), inter = coppice_dim(args, 7);
  const std::int64_t begin = task->index[0] * BLOCK_OUTER;
  const std::int64_t end = std::min<std::int64_t>(begin + BLOCK_OUTER, hidden);
  float total[BLOCK_OUTER] = {};
  for (std::int64_t j = 0; j < top_k; ++j) {
    const std::int64_t pair = token * top_k + j;
    const std::int64_t expert = coppice_in<std::int32_t>(args, 2)[pair];
    const W* matrix = coppice_in<W>(args, 1) + expert * hidden * inter;
    const Inner* inner = coppice_in<Inner>(args, 0) + pair * inter;
    const float weight = coppice_in<float>(args, 3)[pair];
    for (std::int64_t row = begin; row < end; row += kRows) {
      const W* rows[kRows];
      for (int r = 0; r < kRows; ++r) {
        rows[r] = matrix + std::min(row + r, end - 1) * inter;
      }
      float sums[kRows][1];
      dot_tile<kRows, 1>(rows, &inner, inter, sums);
      for (int r = 0; r < kRows && row + r < end; ++r) {
        total[row + r - begin] += weight * sums[r][0];
      }
    }
  }
  T* out = coppice_out<T>(args, 4) + token * hidden;
  for (std::int64_t d = begin; d < end; ++d) {
    out[d] = coppice_narrow<T>(total[d - begin]);
  }
}
