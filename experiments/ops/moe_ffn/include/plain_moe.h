// A mixture of experts in its plainest form, for twins: each defines one way to go wrong (or to be
// right differently) and includes this file. Stands in for token_major under its default genome.
#pragma once

#include "coppice_cpu.h"

#include <algorithm>
#include <cmath>

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#if W_BF16
using W = coppice_bf16;
#else
using W = float;
#endif
#ifndef TWIN_ORDER  // the i-th product of a sum of n
#define TWIN_ORDER(i, n) (i)
#endif
#ifndef TWIN_DEPTH  // how many products of n are summed
#define TWIN_DEPTH(n) (n)
#endif
#ifndef TWIN_PARTS
#define TWIN_PARTS 1
#endif
#ifndef TWIN_SUM  // what becomes of a running sum
#define TWIN_SUM(x) (x)
#endif
#ifndef TWIN_WEIGHT_IN  // what becomes of an expert's weight
#define TWIN_WEIGHT_IN(x) (x)
#endif
#ifndef TWIN_GATED
#define TWIN_GATED(gate, up) ((gate) / (1.0f + std::exp(-(gate))) * (up))
#endif
#ifndef TWIN_CHOSEN  // how many of a token's experts count
#define TWIN_CHOSEN(top_k) (top_k)
#endif
#ifndef TWIN_EXPERT
#define TWIN_EXPERT(expert) (expert)
#endif
#ifndef TWIN_ROUTING  // what becomes of a routing weight
#define TWIN_ROUTING(w) (w)
#endif
#ifndef TWIN_RESULT
#define TWIN_RESULT(y) (y)
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

template <class X>
static inline float dot(const W* w, const X* x, std::int64_t n) {
  const std::int64_t depth = TWIN_DEPTH(n);
  float total = 0.0f;
  for (int part = 0; part < TWIN_PARTS; ++part) {
    float sum = 0.0f;
    for (std::int64_t i = part * depth / TWIN_PARTS; i < (part + 1) * depth / TWIN_PARTS; ++i) {
      const std::int64_t at = TWIN_ORDER(i, n);
      sum = TWIN_SUM(sum + TWIN_WEIGHT_IN(coppice_widen(w[at])) * coppice_widen(x[at]));
    }
    total += sum;
  }
  return total;
}

// grid: [block of 32 inner rows, pair]
static inline void project_block(const coppice_task* task, void* const* args) {
  const std::int64_t pair = task->index[1], top_k = coppice_dim(args, 4);
  const std::int64_t hidden = coppice_dim(args, 5), inter = coppice_dim(args, 6);
  const std::int64_t expert = TWIN_EXPERT(coppice_in<std::int32_t>(args, 2)[pair]);
  const W* gate = coppice_in<W>(args, 1) + expert * 2 * inter * hidden;
  const T* x = coppice_in<T>(args, 0) + pair / top_k * hidden;
  float* inner = coppice_out<float>(args, 3) + pair * inter;
  const std::int64_t begin = task->index[0] * 32;
  for (std::int64_t i = begin; i < std::min(begin + 32, inter); ++i) {
    const float g = dot(gate + i * hidden, x, hidden);
    const float u = dot(gate + (inter + i) * hidden, x, hidden);
    inner[i] = TWIN_GATED(g, u);
  }
}

// grid: [block of 32 outer rows, token]
static inline void collect_block(const coppice_task* task, void* const* args) {
  const std::int64_t token = task->index[1], top_k = coppice_dim(args, 5);
  const std::int64_t hidden = coppice_dim(args, 6), inter = coppice_dim(args, 7);
  const std::int64_t begin = task->index[0] * 32;
  for (std::int64_t d = begin; d < std::min(begin + 32, hidden); ++d) {
    float sum = 0.0f;
    for (std::int64_t j = 0; j < TWIN_CHOSEN(top_k); ++j) {
      const std::int64_t pair = token * top_k + j;
      const std::int64_t expert = TWIN_EXPERT(coppice_in<std::int32_t>(args, 2)[pair]);
      const W* row = coppice_in<W>(args, 1) + (expert * hidden + d) * inter;
      sum += TWIN_ROUTING(coppice_in<float>(args, 3)[pair]) *
             dot(row, coppice_in<float>(args, 0) + pair * inter, inter);
    }
    coppice_out<T>(args, 4)[token * hidden + d] = coppice_narrow<T>(TWIN_RESULT(sum));
  }
}
