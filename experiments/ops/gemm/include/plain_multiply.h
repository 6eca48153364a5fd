// gemm in its plainest form, for twins: each defines one way to go wrong (or to be right
// differently) and includes this file. Stands in for `direct` under its default genome.
#pragma once

#include "coppice_cpu.h"

#include <algorithm>

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#ifndef TWIN_DEPTH  // how many products are summed
#define TWIN_DEPTH(k) (k)
#endif
#ifndef TWIN_ORDER  // the i-th of them
#define TWIN_ORDER(i, k) (i)
#endif
#ifndef TWIN_INPUT  // what becomes of an input
#define TWIN_INPUT(x) (x)
#endif
#ifndef TWIN_SUM  // what becomes of a running sum
#define TWIN_SUM(x) (x)
#endif
#ifndef TWIN_COLUMN  // the row of B that makes column j of C
#define TWIN_COLUMN(j, n) (j)
#endif
#ifndef TWIN_PARTS
#define TWIN_PARTS 1
#endif

// Keeps half of a type's significant bits.
static inline float coarse(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  const std::uint32_t drop = sizeof(T) == 2 ? 20 : 16;
  bits = (bits + (1u << (drop - 1))) >> drop << drop;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

static inline float element(void* const* args, std::int64_t i, std::int64_t j) {
  const std::int64_t n = coppice_dim(args, 4), k = coppice_dim(args, 5);
  const T* a = coppice_in<T>(args, 0) + i * k;
  const T* b = coppice_in<T>(args, 1) + TWIN_COLUMN(j, n) * k;
  const std::int64_t depth = TWIN_DEPTH(k);
  float total = 0.0f;
  for (int part = 0; part < TWIN_PARTS; ++part) {
    float sum = 0.0f;
    for (std::int64_t d = part * depth / TWIN_PARTS; d < (part + 1) * depth / TWIN_PARTS; ++d) {
      const std::int64_t at = TWIN_ORDER(d, k);
      sum = TWIN_SUM(sum + TWIN_INPUT(coppice_widen(a[at])) * TWIN_INPUT(coppice_widen(b[at])));
    }
    total += sum;
  }
  return total;
}

// The block of C that is this task's: 32 columns, 16 rows.
template <class Visit>
static inline void for_block(const coppice_task* task, void* const* args, const Visit& visit) {
  const std::int64_t m = coppice_dim(args, 3), n = coppice_dim(args, 4);
  const std::int64_t row = task->index[1] * 16, column = task->index[0] * 32;
  for (std::int64_t i = row; i < std::min(row + 16, m); ++i) {
    for (std::int64_t j = column; j < std::min(column + 32, n); ++j) {
      visit(i, j, coppice_out<T>(args, 2)[i * n + j]);
    }
  }
}

static inline void multiply_block(const coppice_task* task, void* const* args) {
  for_block(task, args, [&](std::int64_t i, std::int64_t j, T& to) {
    to = coppice_narrow<T>(element(args, i, j));
  });
}
