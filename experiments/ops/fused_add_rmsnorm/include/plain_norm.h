// Add + RMS norm in its plainest form, for twins: each defines one way to go wrong (or to be right
// differently) and includes this file. Stands in for row_resident under its default genome.
#pragma once

#include "coppice_cpu.h"

#include <cmath>

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#ifndef TWIN_EPS
#define TWIN_EPS(eps) (eps)
#endif
#ifndef TWIN_COUNTED  // how many elements of a row are in its mean
#define TWIN_COUNTED(hidden) (hidden)
#endif
#ifndef TWIN_ORDER
#define TWIN_ORDER(i, hidden) (i)
#endif
#ifndef TWIN_RESIDUAL
#define TWIN_RESIDUAL(r) (r)
#endif
#ifndef TWIN_WEIGHT
#define TWIN_WEIGHT(w) (w)
#endif
#ifndef TWIN_ADDED  // what becomes of a sum
#define TWIN_ADDED(y) (y)
#endif
#ifndef TWIN_WIDTH  // how many elements of a row are written
#define TWIN_WIDTH(hidden) (hidden)
#endif
#ifndef TWIN_RESULT
#define TWIN_RESULT(y) (y)
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

static inline void normalise_row(void* const* args, std::int64_t row) {
  const std::int64_t hidden = coppice_dim(args, 5);
  const T* x = coppice_in<T>(args, 0) + row * hidden;
  const T* residual = coppice_in<T>(args, 1) + row * hidden;
  const T* weight = coppice_in<T>(args, 2);
  const auto added = [&](std::int64_t i) {
    return TWIN_ADDED(coppice_widen(x[i]) + TWIN_RESIDUAL(coppice_widen(residual[i])));
  };
  const std::int64_t counted = TWIN_COUNTED(hidden);
  float squares = 0.0f;
  for (int part = 0; part < TWIN_PARTS; ++part) {
    float sum = 0.0f;
    for (std::int64_t i = part * counted / TWIN_PARTS; i < (part + 1) * counted / TWIN_PARTS; ++i) {
      const float y = added(TWIN_ORDER(i, hidden));
      sum += y * y;
    }
    squares += sum;
  }
  const float mean = squares / static_cast<float>(hidden);
  const float scale = 1.0f / std::sqrt(mean + TWIN_EPS(coppice_scalar(args, 6)));
  for (std::int64_t i = 0; i < TWIN_WIDTH(hidden); ++i) {
    coppice_out<T>(args, 3)[row * hidden + i] =
        coppice_narrow<T>(TWIN_RESULT(added(i) * scale * TWIN_WEIGHT(coppice_widen(weight[i]))));
  }
}

// The four rows of this task.
static inline void normalise_block(const coppice_task* task, void* const* args) {
  const std::int64_t rows = coppice_dim(args, 4);
  for (std::int64_t r = task->index[0] * 4; r < task->index[0] * 4 + 4 && r < rows; ++r) {
    normalise_row(args, r);
  }
}
