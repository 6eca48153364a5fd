// Causal attention in its plainest form, for twins: each defines one way to go wrong (or to be
// right differently) and includes this file. Stands in for whole_rows under its default genome.
#pragma once

#include "coppice_cpu.h"

#include <algorithm>
#include <cmath>
#include <limits>

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#ifndef TWIN_SCALE
#define TWIN_SCALE(scale) (scale)
#endif
#ifndef TWIN_SEEN  // keys that query i of n sees, of `length`
#define TWIN_SEEN(i, n, length) ((i) + 1 + (length) - (n))
#endif
#ifndef TWIN_ORDER
#define TWIN_ORDER(i, seen) (i)
#endif
#ifndef TWIN_KV_HEAD
#define TWIN_KV_HEAD(head, group, kv_heads) ((head) / (group))
#endif
#ifndef TWIN_CACHED
#define TWIN_CACHED(x) (x)
#endif
#ifndef TWIN_SUM
#define TWIN_SUM(x) (x)
#endif
#ifndef TWIN_MASKED_OUT  // what a query that sees nothing gets
#define TWIN_MASKED_OUT 0.0f
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

// One query token of sequence b and all heads of the task's key/value head.
static inline void attend_token(
    const coppice_task* task, void* const* args, std::int64_t b, std::int64_t i, int heads) {
  constexpr int kDim = HEAD_DIM, kGroup = GROUP;
  const std::int32_t* q_indptr = coppice_in<std::int32_t>(args, 3);
  const std::int32_t* kv_indptr = coppice_in<std::int32_t>(args, 4);
  const std::int32_t* pages = coppice_in<std::int32_t>(args, 5) + kv_indptr[b];
  const std::int64_t n = q_indptr[b + 1] - q_indptr[b], kv_heads = coppice_dim(args, 10);
  const std::int64_t length = std::int64_t{kv_indptr[b + 1] - kv_indptr[b] - 1} * PAGE_SIZE +
                              coppice_in<std::int32_t>(args, 6)[b];
  const std::int64_t seen = std::clamp<std::int64_t>(TWIN_SEEN(i, n, length), 0, length);
  const float scale = TWIN_SCALE(coppice_scalar(args, 11));
  const float nothing = -std::numeric_limits<float>::infinity();
  for (int g = 0; g < heads; ++g) {
    const std::int64_t head = task->index[0] * kGroup + g;
    const std::int64_t row = (q_indptr[b] + i) * kv_heads * kGroup + head;
    const T* q = coppice_in<T>(args, 0) + row * kDim;
    float acc[kDim] = {}, largest = nothing, sum = 0.0f;
    for (std::int64_t j = 0; j < seen; ++j) {
      const std::int64_t t = TWIN_ORDER(j, seen);
      const std::int64_t slot = std::int64_t{pages[t / PAGE_SIZE]} * PAGE_SIZE + t % PAGE_SIZE;
      const std::int64_t at = (slot * kv_heads + TWIN_KV_HEAD(head, kGroup, kv_heads)) * kDim;
      const T* k = coppice_in<T>(args, 1) + at;
      const T* v = coppice_in<T>(args, 2) + at;
      float dot = 0.0f;
      for (int d = 0; d < kDim; ++d) {
        dot += coppice_widen(q[d]) * TWIN_CACHED(coppice_widen(k[d]));
      }
      const float now = std::fmax(largest, dot * scale);
      const float shrink = std::exp(largest - now), weight = std::exp(dot * scale - now);
      sum = TWIN_SUM(sum * shrink + weight);
      for (int d = 0; d < kDim; ++d) {
        acc[d] = TWIN_SUM(acc[d] * shrink + weight * TWIN_CACHED(coppice_widen(v[d])));
      }
      largest = now;
    }
    for (int d = 0; d < kDim; ++d) {
      coppice_out<T>(args, 7)[row * kDim + d] =
          coppice_narrow<T>(TWIN_RESULT(seen == 0 ? TWIN_MASKED_OUT : acc[d] / sum));
    }
    coppice_out<float>(args, 8)[row] =
        seen == 0 ? nothing : (largest + std::log(sum)) * 1.44269504f;
  }
}

// The four query tokens of this task.
static inline void attend_block(const coppice_task* task, void* const* args, int heads = GROUP) {
  const std::int32_t* q_indptr = coppice_in<std::int32_t>(args, 3);
  std::int64_t left = task->index[1];
  for (std::int64_t b = 0; b < coppice_dim(args, 9); ++b) {
    const std::int64_t n = q_indptr[b + 1] - q_indptr[b], tiles = (n + 3) / 4;
    for (std::int64_t i = left * 4; left >= 0 && i < std::min(left * 4 + 4, n); ++i) {
      attend_token(task, args, b, i, heads);
    }
    left -= tiles;
  }
}
