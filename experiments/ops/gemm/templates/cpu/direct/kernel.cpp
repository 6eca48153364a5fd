// No packing: dot products of rows of A with rows of B, both read along k where they lie. A tile of
// C is a tile of vector sums in registers; rows of B are streamed once for all rows of A.
#include "coppice_cpu.h"

#include <algorithm>
#if DOT_DPBF16 && defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace {

using namespace coppice::simd;

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#if VECTOR_HALF && COPPICE_NATIVE_LANES > 4
constexpr int kLanes = COPPICE_NATIVE_LANES / 2;
#else
constexpr int kLanes = COPPICE_NATIVE_LANES;
#endif
using V = Vec<kLanes>;

constexpr int kUnroll = UNROLL_K;
constexpr int kRows = TILE_ROWS;
constexpr int kColumns = TILE_COLUMNS;

struct Shape {
  std::int64_t m, n, k;
};

#if DOT_DPBF16 && defined(__AVX512BF16__)
// Pairs of bf16 products summed in f32: two elements of k for each lane.
constexpr int kStep = 32;
using Element = __m512bh;
COPPICE_INLINE Element read(const T* from) {
  return (__m512bh)_mm512_loadu_si512(from);
}
COPPICE_INLINE V multiply_add(V sum, Element a, Element b) {
  return (V)_mm512_dpbf16_ps((__m512)sum, a, b);
}
#else
constexpr int kStep = kLanes;
using Element = V;
COPPICE_INLINE Element read(const T* from) {
  return load<kLanes>(from);
}
COPPICE_INLINE V multiply_add(V sum, Element a, Element b) {
  return sum + a * b;
}
#endif

// sums[i][j] += a[i] . b[j] over `depth` elements.
COPPICE_INLINE void dot_tile(const T* const* a,
                             const T* const* b,
                             std::int64_t depth,
                             float sums[kRows][kColumns]) {
  V acc[kRows][kColumns] = {};
  std::int64_t d = 0;
#pragma GCC unroll kUnroll
  for (; d + kStep <= depth; d += kStep) {
    Element x[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      x[i] = read(a[i] + d);
    }
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) {
      if (PREFETCH_BYTES > 0) {
        __builtin_prefetch(reinterpret_cast<const char*>(b[j] + d) + PREFETCH_BYTES, 0, 3);
      }
      const Element y = read(b[j] + d);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        acc[i][j] = multiply_add(acc[i][j], x[i], y);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) {
      float tail = sum<kLanes>(acc[i][j]);
      for (std::int64_t e = d; e < depth; ++e) {
        tail += coppice_widen(a[i][e]) * coppice_widen(b[j][e]);
      }
      sums[i][j] += tail;
    }
  }
}

}  // namespace

// grid: [block of columns, block of rows]
COPPICE_KERNEL(multiply) {
  const Shape s{coppice_dim(args, 3), coppice_dim(args, 4), coppice_dim(args, 5)};
  const T* a = coppice_in<T>(args, 0);
  const T* b = coppice_in<T>(args, 1);
  T* c = coppice_out<T>(args, 2);
  const std::int64_t row = task->index[1] * BLOCK_ROWS, column = task->index[0] * BLOCK_COLUMNS;
  const std::int64_t rows = std::min<std::int64_t>(BLOCK_ROWS, s.m - row);
  const std::int64_t columns = std::min<std::int64_t>(BLOCK_COLUMNS, s.n - column);
  float sums[(BLOCK_ROWS + kRows - 1) / kRows][(BLOCK_COLUMNS + kColumns - 1) / kColumns][kRows]
            [kColumns] = {};
  // Tiles at the edge compute the last row or column again and do not store it.
  for (std::int64_t first = 0; first < s.k; first += BLOCK_K) {
    const std::int64_t depth = std::min<std::int64_t>(BLOCK_K, s.k - first);
    for (std::int64_t j = 0; j < columns; j += kColumns) {
      const T* y[kColumns];
      for (int t = 0; t < kColumns; ++t) {
        y[t] = b + std::min(column + j + t, s.n - 1) * s.k + first;
      }
      for (std::int64_t i = 0; i < rows; i += kRows) {
        const T* x[kRows];
        for (int t = 0; t < kRows; ++t) {
          x[t] = a + std::min(row + i + t, s.m - 1) * s.k + first;
        }
        dot_tile(x, y, depth, sums[i / kRows][j / kColumns]);
      }
    }
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      c[(row + i) * s.n + column + j] =
          coppice_narrow<T>(sums[i / kRows][j / kColumns][i % kRows][j % kColumns]);
    }
  }
}
