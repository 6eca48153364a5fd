// Packing for CPU kernels of gemm: a few rows, each contiguous along k, laid out so that their
// elements of one k are neighbours.
#pragma once

#include "coppice_cpu.h"

#include <algorithm>

// Rows and columns that are transposed at once.
static constexpr int kTurn = COPPICE_NATIVE_LANES < 8 ? 4 : 8;

// Transposes kTurn rows of kTurn elements; rows of the result lie Stride apart and are written in
// order.
template <int Stride, class In, class Out>
COPPICE_INLINE void turn(const In* const* from, std::int64_t d, Out* to) {
  using namespace coppice::simd;
  if constexpr (kTurn == 4) {
    const Vec<4> r0 = load<4>(from[0] + d), r1 = load<4>(from[1] + d);
    const Vec<4> r2 = load<4>(from[2] + d), r3 = load<4>(from[3] + d);
    const Vec<4> a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
    const Vec<4> b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
    const Vec<4> c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
    const Vec<4> e = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    store<4>(to, __builtin_shufflevector(a, b, 0, 1, 4, 5));
    store<4>(to + Stride, __builtin_shufflevector(a, b, 2, 3, 6, 7));
    store<4>(to + 2 * Stride, __builtin_shufflevector(c, e, 0, 1, 4, 5));
    store<4>(to + 3 * Stride, __builtin_shufflevector(c, e, 2, 3, 6, 7));
  } else {
    Vec<8> r[8], s[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      r[i] = load<8>(from[i] + d);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {  // pairs of rows, inside each half of a vector
      s[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
      s[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {  // four rows
      r[i] = __builtin_shufflevector(s[i], s[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      r[i + 1] = __builtin_shufflevector(s[i], s[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
      r[i + 2] = __builtin_shufflevector(s[i + 1], s[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
      r[i + 3] = __builtin_shufflevector(s[i + 1], s[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // lower halves
      store<8>(to + i * Stride, __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // upper halves
      store<8>(to + (i + 4) * Stride,
               __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15));
    }
  }
}

template <class T>
struct Matrix {
  const T* at;
  std::int64_t rows, stride;
};

// Lays Count rows from `row` on out by k, for `depth` of k from `first` on. Rows past the end
// repeat the last one. Where a group of kTurn rows hangs over, it writes into the next element of
// k, which comes later; the last elements are therefore moved one by one.
template <int Count, class In, class Out>
void lay_out(
    const Matrix<In>& from, std::int64_t row, std::int64_t first, std::int64_t depth, Out* to) {
  constexpr int kGroups = (Count + kTurn - 1) / kTurn;
  const In* at[kGroups * kTurn];
  for (int i = 0; i < kGroups * kTurn; ++i) {
    at[i] = from.at + std::min(row + std::min(i, Count - 1), from.rows - 1) * from.stride + first;
  }
  constexpr int kBeyond = (kGroups * kTurn - 1) / Count;  // elements of k a group reaches into
  const std::int64_t whole = (depth - kBeyond) / kTurn * kTurn;
  for (std::int64_t d = 0; d < whole; d += kTurn) {
#pragma GCC unroll 4
    for (int g = kGroups - 1; g >= 0; --g) {
      turn<Count>(at + g * kTurn, d, to + d * Count + g * kTurn);
    }
  }
  for (std::int64_t d = whole; d < depth; ++d) {
    for (int i = 0; i < Count; ++i) {
      to[d * Count + i] = coppice_narrow<Out>(coppice_widen(at[i][d]));
    }
  }
}
