// The block-scaled mixture of experts in its plainest form: pair_by_pair uses its choice of
// experts, and each twin defines one way to go wrong (or to be right differently) and includes this
// file.
#pragma once

#include "coppice_cpu.h"

#include <algorithm>
#include <cmath>

#ifndef TWIN_ORDER  // the i-th product of a block's sum
#define TWIN_ORDER(i) (i)
#endif
#ifndef TWIN_BLOCKS  // how many blocks of n are summed
#define TWIN_BLOCKS(n) (n)
#endif
#ifndef TWIN_SCALE_BLOCK  // whose scale a block of weights has
#define TWIN_SCALE_BLOCK(block, n) (block)
#endif
#ifndef TWIN_TOKEN_SCALE
#define TWIN_TOKEN_SCALE(scale) (scale)
#endif
#ifndef TWIN_GATED
#define TWIN_GATED(first, second) ((first) * (second) / (1.0f + std::exp(-(second))))
#endif
#ifndef TWIN_INNER  // what is kept of the inner state
#define TWIN_INNER(x) (x)
#endif
#ifndef TWIN_BIAS
#define TWIN_BIAS(bias) (bias)
#endif
#ifndef TWIN_KEPT  // how many groups are kept
#define TWIN_KEPT(kept, groups) (kept)
#endif
#ifndef TWIN_COUNTS  // whether a chosen expert counts in the sum that weights are divided by
#define TWIN_COUNTS(is_local) true
#endif
#ifndef TWIN_FACTOR
#define TWIN_FACTOR(factor) (factor)
#endif
#ifndef TWIN_RESULT
#define TWIN_RESULT(y) (y)
#endif

constexpr int kScaled = 128;  // elements that share a scale
constexpr int kMostExperts = 1024;

// e4m3: four bits of exponent, three of mantissa; neither infinity nor, here, NaN.
static inline float widen_e4m3(std::uint8_t x) {
  const std::uint32_t bits = ((x & 0x7fu) << 20) + (120u << 23);
  float normal;
  __builtin_memcpy(&normal, &bits, 4);
  const float small = static_cast<float>(static_cast<std::int32_t>(x & 7u)) * (1.0f / 512.0f);
  const float size = (x & 0x78u) != 0 ? normal : small;
  return (x & 0x80u) != 0 ? -size : size;
}

// The place of the largest of values[0 .. n) that is not below `least`; -1: there is none.
static inline std::int64_t place_of_largest(const float* values, std::int64_t n, float least) {
  std::int64_t best = -1;
  for (std::int64_t i = 0; i < n; ++i) {
    if (values[i] >= least && (best < 0 || values[i] > values[best])) {
      best = i;
    }
  }
  return best;
}

// args: logits, bias, local expert or -1 by slot, weight by slot, experts, local experts, first
// local, groups, kept groups, top_k, factor. One task a token.
static inline void choose_experts(const coppice_task* task, void* const* args) {
  constexpr float kOut = -3e38f, kLeast = -1e38f;
  const std::int64_t token = task->index[0], experts = coppice_dim(args, 4),
                     local = coppice_dim(args, 5);
  const std::int64_t first = coppice_dim(args, 6), groups = coppice_dim(args, 7),
                     size = experts / groups;
  const std::int64_t kept = TWIN_KEPT(coppice_dim(args, 8), groups), top_k = coppice_dim(args, 9);
  const float* logits = coppice_in<float>(args, 0) + token * experts;
  const coppice_bf16* bias = coppice_in<coppice_bf16>(args, 1);
  std::int32_t* chosen = coppice_out<std::int32_t>(args, 2) + token * top_k;
  float* weights = coppice_out<float>(args, 3) + token * top_k;
  float score[kMostExperts], biased[kMostExperts], group[kMostExperts];
  for (std::int64_t e = 0; e < experts; ++e) {
    score[e] = 1.0f / (1.0f + std::exp(-logits[e]));
    biased[e] = score[e] + TWIN_BIAS(coppice_widen(bias[e]));
  }
  for (std::int64_t g = 0; g < groups; ++g) {
    float top = kOut, next = kOut;
    for (std::int64_t e = g * size; e < (g + 1) * size; ++e) {
      next = std::max(next, std::min(top, biased[e]));
      top = std::max(top, biased[e]);
    }
    group[g] = top + next;
  }
  for (std::int64_t i = 0; i < kept; ++i) {
    group[place_of_largest(group, groups, kLeast)] = kOut;
  }
  for (std::int64_t e = 0; e < experts; ++e) {
    biased[e] = group[e / size] == kOut ? biased[e] : kOut;
  }
  float sum = 1e-20f;
  for (std::int64_t j = 0; j < top_k; ++j) {
    const std::int64_t e = place_of_largest(biased, experts, kLeast);
    biased[e] = kOut;
    const bool is_local = e >= first && e < first + local;
    chosen[j] = is_local ? static_cast<std::int32_t>(e - first) : -1;
    weights[j] = score[e];
    sum += TWIN_COUNTS(is_local) ? score[e] : 0.0f;
  }
  for (std::int64_t j = 0; j < top_k; ++j) {
    weights[j] *= TWIN_FACTOR(coppice_scalar(args, 10)) / sum;
  }
}

// A row of weights with its blocks' scales, times x.
static inline float scaled_dot(const std::uint8_t* w,
                               const float* scales,
                               const float* x,
                               std::int64_t n) {
  const std::int64_t blocks = n / kScaled;
  float total = 0.0f;
  for (std::int64_t b = 0; b < TWIN_BLOCKS(blocks); ++b) {
    float sum = 0.0f;
    for (int i = 0; i < kScaled; ++i) {
      const std::int64_t at = b * kScaled + TWIN_ORDER(i);
      sum += widen_e4m3(w[at]) * x[at];
    }
    total += sum * scales[TWIN_SCALE_BLOCK(b, blocks)];
  }
  return total;
}

// args: states, their scales, weights, theirs, chosen, inner, top_k, tokens, hidden, inter.
// grid: [block of inner rows, slot]
static inline void project_block(const coppice_task* task, void* const* args, std::int64_t rows) {
  const std::int64_t slot = task->index[1], top_k = coppice_dim(args, 6),
                     tokens = coppice_dim(args, 7);
  const std::int64_t hidden = coppice_dim(args, 8), inter = coppice_dim(args, 9),
                     token = slot / top_k;
  const std::int64_t expert = coppice_in<std::int32_t>(args, 4)[slot];
  if (expert < 0) {
    return;
  }
  constexpr std::int64_t kMost = 16384;
  float x[kMost];
  for (std::int64_t d = 0; d < hidden; ++d) {
    x[d] = widen_e4m3(coppice_in<std::uint8_t>(args, 0)[token * hidden + d]) *
           TWIN_TOKEN_SCALE(coppice_in<float>(args, 1)[d / kScaled * tokens + token]);
  }
  const std::uint8_t* w = coppice_in<std::uint8_t>(args, 2) + expert * 2 * inter * hidden;
  const float* scales =
      coppice_in<float>(args, 3) + expert * 2 * (inter / kScaled) * (hidden / kScaled);
  float* inner = coppice_out<float>(args, 5) + slot * inter;
  const std::int64_t begin = task->index[0] * rows;
  for (std::int64_t i = begin; i < std::min(begin + rows, inter); ++i) {
    const std::int64_t j = inter + i;
    const float first =
        scaled_dot(w + i * hidden, scales + i / kScaled * (hidden / kScaled), x, hidden);
    const float second =
        scaled_dot(w + j * hidden, scales + j / kScaled * (hidden / kScaled), x, hidden);
    inner[i] = TWIN_INNER(TWIN_GATED(first, second));
  }
}

// args: inner, weights, their scales, chosen, routing weights, out, top_k, hidden, inter.
// grid: [block of outer rows, token]
static inline void collect_block(const coppice_task* task, void* const* args, std::int64_t rows) {
  const std::int64_t token = task->index[1], top_k = coppice_dim(args, 6);
  const std::int64_t hidden = coppice_dim(args, 7), inter = coppice_dim(args, 8);
  const std::int64_t begin = task->index[0] * rows;
  for (std::int64_t d = begin; d < std::min(begin + rows, hidden); ++d) {
    float sum = 0.0f;
    for (std::int64_t slot = token * top_k; slot < (token + 1) * top_k; ++slot) {
      const std::int64_t expert = coppice_in<std::int32_t>(args, 3)[slot];
      if (expert >= 0) {
        sum += coppice_in<float>(args, 4)[slot] *
               scaled_dot(
                   coppice_in<std::uint8_t>(args, 1) + (expert * hidden + d) * inter,
                   coppice_in<float>(args, 2) + (expert * hidden + d) / kScaled * (inter / kScaled),
                   coppice_in<float>(args, 0) + slot * inter,
                   inter);
      }
    }
    coppice_out<coppice_bf16>(args, 5)[token * hidden + d] = coppice_to_bf16(TWIN_RESULT(sum));
  }
}
