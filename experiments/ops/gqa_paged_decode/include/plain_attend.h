// Decode attention in its plainest form, for twins: each defines one way to go wrong (or to be
// right differently) and includes this file. Stands in for one_pass under its default genome.
#pragma once

#include "coppice_cpu.h"

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
#ifndef TWIN_KEYS  // how many of a sequence's keys are read
#define TWIN_KEYS(length) (length)
#endif
#ifndef TWIN_ORDER  // the i-th key that is read
#define TWIN_ORDER(i, length) (i)
#endif
#ifndef TWIN_PAGE  // entry of the page table for the n-th page of the sequence
#define TWIN_PAGE(pages, n) ((pages)[n])
#endif
#ifndef TWIN_KV_HEAD
#define TWIN_KV_HEAD(head, group, kv_heads) ((head) / (group))
#endif
#ifndef TWIN_CACHED  // what becomes of an element of the cache
#define TWIN_CACHED(x) (x)
#endif
#ifndef TWIN_SUM  // what becomes of a running sum
#define TWIN_SUM(x) (x)
#endif
#ifndef TWIN_LSE
#define TWIN_LSE(largest, sum) (((largest) + std::log(sum)) * 1.44269504f)
#endif
#ifndef TWIN_EMPTY_OUT
#define TWIN_EMPTY_OUT 0.0f
#endif
#ifndef TWIN_PARTS  // the keys are read in so many parts, each with its own maximum and sums
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

static inline void attend_head(const coppice_task* task, void* const* args, std::int64_t head) {
  constexpr int kDim = HEAD_DIM, kGroup = GROUP;
  const std::int64_t b = task->index[0], kv_heads = coppice_dim(args, 8);
  const std::int32_t* indptr = coppice_in<std::int32_t>(args, 3);
  const std::int32_t* pages = coppice_in<std::int32_t>(args, 4) + indptr[b];
  const std::int64_t used = indptr[b + 1] - indptr[b];
  const std::int64_t length =
      used == 0 ? 0 : (used - 1) * PAGE_SIZE + coppice_in<std::int32_t>(args, 5)[b];
  const std::int64_t row = b * kv_heads * kGroup + head;
  const T* q = coppice_in<T>(args, 0) + row * kDim;
  const float scale = TWIN_SCALE(coppice_scalar(args, 9));
  const float nothing = -std::numeric_limits<float>::infinity();

  const std::int64_t keys = TWIN_KEYS(length);
  float acc[kDim] = {}, largest = nothing, sum = 0.0f;
  for (int part = 0; part < TWIN_PARTS; ++part) {
    float part_acc[kDim] = {}, part_largest = nothing, part_sum = 0.0f;
    for (std::int64_t i = part * keys / TWIN_PARTS; i < (part + 1) * keys / TWIN_PARTS; ++i) {
      const std::int64_t t = TWIN_ORDER(i, length);
      const std::int64_t slot =
          std::int64_t{TWIN_PAGE(pages, t / PAGE_SIZE)} * PAGE_SIZE + t % PAGE_SIZE;
      const std::int64_t at = (slot * kv_heads + TWIN_KV_HEAD(head, kGroup, kv_heads)) * kDim;
      const T* k = coppice_in<T>(args, 1) + at;
      const T* v = coppice_in<T>(args, 2) + at;
      float dot = 0.0f;
      for (int d = 0; d < kDim; ++d) {
        dot += coppice_widen(q[d]) * TWIN_CACHED(coppice_widen(k[d]));
      }
      const float logit = dot * scale, now = std::fmax(part_largest, logit);
      const float shrink = std::exp(part_largest - now), weight = std::exp(logit - now);
      part_sum = TWIN_SUM(part_sum * shrink + weight);
      for (int d = 0; d < kDim; ++d) {
        part_acc[d] = TWIN_SUM(part_acc[d] * shrink + weight * TWIN_CACHED(coppice_widen(v[d])));
      }
      part_largest = now;
    }
    if (part_sum > 0.0f) {
      const float now = std::fmax(largest, part_largest);
      const float old = std::exp(largest - now), add = std::exp(part_largest - now);
      for (int d = 0; d < kDim; ++d) {
        acc[d] = acc[d] * old + part_acc[d] * add;
      }
      sum = sum * old + part_sum * add;
      largest = now;
    }
  }
  for (int d = 0; d < kDim; ++d) {
    coppice_out<T>(args, 6)[row * kDim + d] =
        coppice_narrow<T>(length == 0 ? TWIN_EMPTY_OUT : acc[d] / sum);
  }
  coppice_out<float>(args, 7)[row] = length == 0 ? nothing : TWIN_LSE(largest, sum);
}

static inline void attend_group(const coppice_task* task, void* const* args) {
  for (std::int64_t g = 0; g < GROUP; ++g) {
    attend_head(task, args, task->index[1] * GROUP + g);
  }
}
