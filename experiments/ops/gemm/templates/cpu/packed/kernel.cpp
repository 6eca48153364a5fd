// Packs B into panels of consecutive columns, then multiplies blocks with a kernel whose tile of C
// stays in registers: each step takes one row of a panel and one element from each row of A.
#include "coppice_cpu.h"
#include "lay_out.h"

#include <algorithm>

namespace {

using namespace coppice::simd;

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#if PANEL_BF16
using Panel = coppice_bf16;
#else
using Panel = float;
#endif
#if VECTOR_HALF && COPPICE_NATIVE_LANES > 4
constexpr int kLanes = COPPICE_NATIVE_LANES / 2;
#else
constexpr int kLanes = COPPICE_NATIVE_LANES;
#endif
using V = Vec<kLanes>;

constexpr int kUnroll = UNROLL_K;
constexpr int kRows = TILE_ROWS;  // of C in registers
constexpr int kColumns = TILE_VECTORS * kLanes;
constexpr int kBlockRows = kRows * BLOCK_TILES;  // of A that pass a block of B
constexpr int kBlockColumns = (BLOCK_COLUMNS + kColumns - 1) / kColumns * kColumns;
constexpr bool kDirect = sizeof(T) == 4;  // sums of blocks of k go straight to C

struct Shape {
  std::int64_t m, n, k;
};

// The rows of A for one tile: where they lie, or copied so that the tile's elements of one k are
// neighbours.
#if PACK_A
struct Rows {
  const float* at;
  COPPICE_INLINE float get(int row, std::int64_t d) const { return at[d * kRows + row]; }
};
#else
struct Rows {
  const T* at[kRows];
  COPPICE_INLINE float get(int row, std::int64_t d) const { return coppice_widen(at[row][d]); }
};
#endif

// acc over `depth` of k for one tile of C; c is read first unless `fresh`.
COPPICE_INLINE void multiply_tile(const Rows& a,
                                  const Panel* panel,
                                  std::int64_t depth,
                                  float* c,
                                  std::int64_t stride,
                                  bool fresh) {
  V acc[kRows][TILE_VECTORS] = {};
#pragma GCC unroll kUnroll
  for (std::int64_t d = 0; d < depth; ++d) {
    V b[TILE_VECTORS];
    if (PREFETCH_PANEL > 0) {
      __builtin_prefetch(panel + (d + PREFETCH_PANEL) * kColumns, 0, 3);
    }
#pragma GCC unroll 8
    for (int j = 0; j < TILE_VECTORS; ++j) {
      b[j] = load<kLanes>(panel + d * kColumns + j * kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const V x = broadcast<kLanes>(a.get(i, d));
#pragma GCC unroll 8
      for (int j = 0; j < TILE_VECTORS; ++j) {
        acc[i][j] += x * b[j];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < TILE_VECTORS; ++j) {
      float* to = c + i * stride + j * kLanes;
      store<kLanes>(to, fresh ? acc[i][j] : acc[i][j] + load<kLanes>(to));
    }
  }
}

// As above for a tile that hangs over C's edge.
void multiply_edge(const Rows& a,
                   const Panel* panel,
                   std::int64_t depth,
                   float* c,
                   std::int64_t stride,
                   bool fresh,
                   int rows,
                   int columns) {
  float tile[kRows * kColumns];
  multiply_tile(a, panel, depth, tile, kColumns, true);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      float* to = c + i * stride + j;
      *to = tile[i * kColumns + j] + (fresh ? 0.0f : *to);
    }
  }
}

struct Block {
  std::int64_t row, column;  // first of C
  std::int64_t rows, columns;
};

#if PACK_A
// Tiles of kRows rows, laid out by k. Rows past the end repeat the last one.
void pack_rows(const T* a,
               const Shape& s,
               const Block& block,
               std::int64_t first,
               std::int64_t depth,
               float* to) {
  for (std::int64_t i = 0; i < block.rows; i += kRows) {
    lay_out<kRows>(Matrix<T>{a, s.m, s.k}, block.row + i, first, depth, to + i * depth);
  }
}
#endif

// One slice of k for a block of C: `panels` are B's for the block's columns, whole in k.
void multiply_slice(const T* a,
                    const Panel* panels,
                    const Shape& s,
                    const Block& block,
                    std::int64_t first,
                    float* c,
                    std::int64_t stride) {
  const std::int64_t depth = std::min<std::int64_t>(BLOCK_K, s.k - first);
#if PACK_A
  alignas(64) float packed[kBlockRows * BLOCK_K];
  pack_rows(a, s, block, first, depth, packed);
#endif
  for (std::int64_t j = 0; j < block.columns; j += kColumns) {
    const Panel* panel = panels + j * s.k + first * kColumns;
    for (std::int64_t i = 0; i < block.rows; i += kRows) {
      Rows rows;
#if PACK_A
      rows.at = packed + i * depth;
#else
      for (int r = 0; r < kRows; ++r) {
        rows.at[r] = a + std::min(block.row + i + r, s.m - 1) * s.k + first;
      }
#endif
      float* to = c + i * stride + j;
      const auto live_rows = static_cast<int>(std::min<std::int64_t>(kRows, block.rows - i));
      const auto live = static_cast<int>(std::min<std::int64_t>(kColumns, block.columns - j));
      if (live_rows == kRows && live == kColumns) {
        multiply_tile(rows, panel, depth, to, stride, first == 0);
      } else {
        multiply_edge(rows, panel, depth, to, stride, first == 0, live_rows, live);
      }
    }
  }
}

void multiply_block(const T* a, const Panel* panels, const Shape& s, const Block& block, T* c) {
  if constexpr (kDirect) {
    float* to = reinterpret_cast<float*>(c) + block.row * s.n + block.column;
    for (std::int64_t d = 0; d < s.k; d += BLOCK_K) {
      multiply_slice(a, panels, s, block, d, to, s.n);
    }
  } else {
    alignas(64) float sums[kBlockRows * kBlockColumns];
    for (std::int64_t d = 0; d < s.k; d += BLOCK_K) {
      multiply_slice(a, panels, s, block, d, sums, kBlockColumns);
    }
    for (std::int64_t i = 0; i < block.rows; ++i) {
      for (std::int64_t j = 0; j < block.columns; ++j) {
        c[(block.row + i) * s.n + block.column + j] =
            coppice_narrow<T>(sums[i * kBlockColumns + j]);
      }
    }
  }
}

Shape shape_of(void* const* args, int from) {
  return {coppice_dim(args, from), coppice_dim(args, from + 1), coppice_dim(args, from + 2)};
}

// Panels of kColumns rows of B.
void pack_columns(const T* b, const Shape& s, std::int64_t first, Panel* panels) {
  const std::int64_t end = std::min(first + kBlockColumns, s.n);
  for (std::int64_t j = first; j < end; j += kColumns) {
    lay_out<kColumns>(Matrix<T>{b, s.n, s.k}, j, 0, s.k, panels + j * s.k);
  }
}

}  // namespace

// grid: [block of columns]; blocks are rounded up to panels, so the last tasks may have nothing
COPPICE_KERNEL(pack) {
  pack_columns(coppice_in<T>(args, 0),
               shape_of(args, 2),
               task->index[0] * kBlockColumns,
               coppice_out<Panel>(args, 1));
}

// grid: [block of columns, block of rows]; one block of rows when each task packs for itself
COPPICE_KERNEL(multiply) {
  const Shape s = shape_of(args, 4);
  const std::int64_t column = task->index[0] * kBlockColumns;
  const std::int64_t columns = std::min<std::int64_t>(kBlockColumns, s.n - column);
  Panel* panels = coppice_out<Panel>(args, 2);
  if (columns <= 0) {
    return;
  }
#if FUSE_PACK
  pack_columns(coppice_in<T>(args, 1), s, column, panels);
#endif
  const std::int64_t step = FUSE_PACK ? s.m : kBlockRows;
  for (std::int64_t i = task->index[1] * step; i < std::min((task->index[1] + 1) * step, s.m);
       i += kBlockRows) {
    const Block block{i, column, std::min<std::int64_t>(kBlockRows, s.m - i), columns};
    multiply_block(
        coppice_in<T>(args, 0), panels + column * s.k, s, block, coppice_out<T>(args, 3));
  }
}
