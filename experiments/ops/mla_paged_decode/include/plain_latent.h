// Latent decode in its plainest form, for twins: each defines one way to go wrong (or to be right
// differently) and includes this file. Stands in for one_pass under its default genome.
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
#ifndef TWIN_KEYS  // how many of a sequence's rows are read
#define TWIN_KEYS(length) (length)
#endif
#ifndef TWIN_ORDER  // the i-th row that is read
#define TWIN_ORDER(i, keys) (i)
#endif
#ifndef TWIN_PAGE  // entry of the page table for the n-th page of the sequence
#define TWIN_PAGE(table, n) ((table)[n])
#endif
#ifndef TWIN_KEY_WIDTH  // elements of a row that meet the query
#define TWIN_KEY_WIDTH (LATENT + ROPE)
#endif
#ifndef TWIN_VALUE  // where in its row a value starts
#define TWIN_VALUE 0
#endif
#ifndef TWIN_LSE
#define TWIN_LSE(top, sum) (((top) + std::log(sum)) * 1.44269504f)
#endif
#ifndef TWIN_EMPTY
#define TWIN_EMPTY 0.0f
#endif

static inline void attend_head(const coppice_task* task, void* const* args, std::int64_t h) {
  const std::int64_t b = task->index[0], head = b * coppice_dim(args, 8) + h;
  const std::int32_t* indptr = coppice_in<std::int32_t>(args, 3);
  const std::int32_t* table = coppice_in<std::int32_t>(args, 4) + indptr[b];
  const std::int64_t pages = indptr[b + 1] - indptr[b];
  const std::int64_t length =
      pages == 0 ? 0 : (pages - 1) * PAGE_SIZE + coppice_in<std::int32_t>(args, 5)[b];
  const T* nope = coppice_in<T>(args, 0) + head * LATENT;
  const T* rope = coppice_in<T>(args, 1) + head * ROPE;
  float acc[LATENT] = {}, top = -std::numeric_limits<float>::infinity(), sum = 0.0f;
  for (std::int64_t i = 0; i < TWIN_KEYS(length); ++i) {
    const std::int64_t t = TWIN_ORDER(i, TWIN_KEYS(length));
    const std::int64_t slot =
        std::int64_t{TWIN_PAGE(table, t / PAGE_SIZE)} * PAGE_SIZE + t % PAGE_SIZE;
    const T* row = coppice_in<T>(args, 2) + slot * (LATENT + ROPE);
    float dot = 0.0f;
    for (int d = 0; d < TWIN_KEY_WIDTH; ++d) {
      dot += coppice_widen(d < LATENT ? nope[d] : rope[d - LATENT]) * coppice_widen(row[d]);
    }
    const float logit = dot * TWIN_SCALE(coppice_scalar(args, 9)), now = std::fmax(top, logit);
    const float shrink = std::exp(top - now), weight = std::exp(logit - now);
    sum = sum * shrink + weight;
    for (int d = 0; d < LATENT; ++d) {
      acc[d] = acc[d] * shrink + weight * coppice_widen(row[TWIN_VALUE + d]);
    }
    top = now;
  }
  for (int d = 0; d < LATENT; ++d) {
    coppice_out<T>(args, 6)[head * LATENT + d] =
        coppice_narrow<T>(length == 0 ? TWIN_EMPTY : acc[d] / sum);
  }
  coppice_out<float>(args, 7)[head] =
      length == 0 ? -std::numeric_limits<float>::infinity() : TWIN_LSE(top, sum);
}

// grid: [sequence, block of HEADS_PER_TASK heads]
static inline void attend_block(const coppice_task* task, void* const* args) {
  for (std::int64_t i = 0; i < HEADS_PER_TASK; ++i) {
    attend_head(task, args, task->index[1] * HEADS_PER_TASK + i);
  }
}
