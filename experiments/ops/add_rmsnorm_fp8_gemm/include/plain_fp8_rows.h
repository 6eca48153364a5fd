// Add, norm, quantise and multiply in their plainest form, for twins: each defines one way to go
// wrong (or to be right differently) and includes this file. Stands in for normalise_then_multiply
// under its default genome.
#pragma once

#include "coppice_cpu.h"

#include <algorithm>
#include <cmath>

#ifndef TWIN_ORDER  // the i-th element that is visited
#define TWIN_ORDER(i, n) (i)
#endif
#ifndef TWIN_RESIDUAL
#define TWIN_RESIDUAL(r) (r)
#endif
#ifndef TWIN_ADDED  // what becomes of a sum before it is normed
#define TWIN_ADDED(s) coppice_widen(coppice_to_bf16(s))
#endif
#ifndef TWIN_NORM_WEIGHT
#define TWIN_NORM_WEIGHT(w) (w)
#endif
#ifndef TWIN_EPS
#define TWIN_EPS(eps) (eps)
#endif
#ifndef TWIN_TOP  // what the largest of a row becomes
#define TWIN_TOP 448.0f
#endif
#ifndef TWIN_NORMED  // what becomes of a normalised element before it is quantised
#define TWIN_NORMED(y) (y)
#endif
#ifndef TWIN_WHOLE  // how units of an e4m3 number become whole
#define TWIN_WHOLE(x) (((x) + 8388608.0f) - 8388608.0f)
#endif
#ifndef TWIN_QUANTISED
#define TWIN_QUANTISED(x) widen_e4m3(to_e4m3(x))
#endif
#ifndef TWIN_SCALE_ROW  // whose scale a row has
#define TWIN_SCALE_ROW(r, rows) (r)
#endif
#ifndef TWIN_WEIGHT_SCALE
#define TWIN_WEIGHT_SCALE(scales, c, columns) (scales)[c]
#endif
#ifndef TWIN_DEPTH  // how many products are summed
#define TWIN_DEPTH(n) (n)
#endif
#ifndef TWIN_UPDATED  // what is stored as the updated residual
#define TWIN_UPDATED(s, r) (s)
#endif
#ifndef TWIN_RESULT
#define TWIN_RESULT(y) (y)
#endif
#ifndef TWIN_PARTS
#define TWIN_PARTS 1
#endif

static inline float power_of_two(int n) {
  const auto bits = static_cast<std::uint32_t>(n + 127) << 23;
  float out;
  __builtin_memcpy(&out, &bits, 4);
  return out;
}

static inline float widen_e4m3(unsigned x) {
  const std::uint32_t bits = ((x & 0x7fu) << 20) | ((x & 0x80u) << 24);
  float out;
  __builtin_memcpy(&out, &bits, 4);
  return (x & 0x7fu) == 0x7fu ? NAN : out * power_of_two(120);
}

// Nearest, ties to even; without saturation what is too large becomes NaN.
static inline unsigned to_e4m3(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  const unsigned sign = bits >> 24 & 0x80u;
  const float size = std::fabs(x);
  const int exponent = std::max(static_cast<int>(bits >> 23 & 0xffu) - 127, -6);
  const float units = TWIN_WHOLE(size * power_of_two(3 - exponent));
  const auto place = static_cast<unsigned>(exponent + 6) * 8u;
#ifdef TWIN_NO_SATURATION
  const unsigned most = 0x7fu;
#else
  const unsigned most = 0x7eu;
#endif
  return sign | std::min(place + static_cast<unsigned>(units), most);
}

// args: x, residual, norm weight, updated residual, activations, scales, rows, hidden, eps.
// grid: [row]
static inline void normalise_row(const coppice_task* task, void* const* args) {
  const std::int64_t r = task->index[0], hidden = coppice_dim(args, 7);
  const coppice_bf16* x = coppice_in<coppice_bf16>(args, 0) + r * hidden;
  const coppice_bf16* residual = coppice_in<coppice_bf16>(args, 1) + r * hidden;
  const coppice_bf16* weight = coppice_in<coppice_bf16>(args, 2);
  float* kept = coppice_out<float>(args, 4) + r * hidden;
  float squares = 0.0f, largest = 0.0f;
  for (std::int64_t n = 0; n < hidden; ++n) {
    const std::int64_t i = TWIN_ORDER(n, hidden);
    const float sum = coppice_widen(x[i]) + TWIN_RESIDUAL(coppice_widen(residual[i]));
    const float s = TWIN_ADDED(sum);
    coppice_out<coppice_bf16>(args, 3)[r * hidden + i] =
        coppice_to_bf16(TWIN_UPDATED(sum, coppice_widen(residual[i])));
    kept[i] = s * TWIN_NORM_WEIGHT(coppice_widen(weight[i]));
    squares += s * s;
    largest = std::max(largest, std::fabs(kept[i]));
  }
  const float mean = squares / static_cast<float>(hidden);
  const float root = 1.0f / std::sqrt(mean + TWIN_EPS(coppice_scalar(args, 8)));
  for (std::int64_t i = 0; i < hidden; ++i) {
    kept[i] = largest > 0.0f ? TWIN_QUANTISED(TWIN_NORMED(kept[i]) * TWIN_TOP / largest) : 0.0f;
  }
  coppice_out<float>(args, 5)[r] = largest * root / TWIN_TOP;
}

// args: activations, scales, weights, their scales, out, rows, hidden, columns. The 16 rows and 32
// columns of this task.
template <class Visit>
static inline void for_block(const coppice_task* task, void* const* args, const Visit& visit) {
  const std::int64_t rows = coppice_dim(args, 5), columns = coppice_dim(args, 7);
  const std::int64_t row = task->index[1] * 16, column = task->index[0] * 32;
  for (std::int64_t r = row; r < std::min(row + 16, rows); ++r) {
    for (std::int64_t c = column; c < std::min(column + 32, columns); ++c) {
      visit(r, c, coppice_out<coppice_bf16>(args, 4)[r * columns + c]);
    }
  }
}

static inline float element(void* const* args, std::int64_t r, std::int64_t c) {
  const std::int64_t rows = coppice_dim(args, 5), hidden = coppice_dim(args, 6);
  const std::int64_t columns = coppice_dim(args, 7), depth = TWIN_DEPTH(hidden);
  const float* kept = coppice_in<float>(args, 0) + r * hidden;
  const std::uint8_t* weight = coppice_in<std::uint8_t>(args, 2) + c * hidden;
  float total = 0.0f;
  for (int part = 0; part < TWIN_PARTS; ++part) {
    float sum = 0.0f;
    for (std::int64_t n = part * depth / TWIN_PARTS; n < (part + 1) * depth / TWIN_PARTS; ++n) {
      const std::int64_t i = TWIN_ORDER(n, hidden);
      sum += kept[i] * widen_e4m3(weight[i]);
    }
    total += sum;
  }
  (void)rows;
  (void)columns;
  return total * coppice_in<float>(args, 1)[TWIN_SCALE_ROW(r, rows)] *
         TWIN_WEIGHT_SCALE(coppice_in<float>(args, 3), c, columns);
}

static inline void multiply_block(const coppice_task* task, void* const* args) {
  for_block(task, args, [&](std::int64_t r, std::int64_t c, coppice_bf16& to) {
    to = coppice_to_bf16(TWIN_RESULT(element(args, r, c)));
  });
}
