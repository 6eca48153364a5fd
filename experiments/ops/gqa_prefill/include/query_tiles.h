// What the templates of gqa_prefill share: types, vector width, the block of queries that a task
// owns, and where its keys lie.
#pragma once

#include "coppice_cpu.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace coppice::simd;

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#if STAGE_BF16
using Staged = coppice_bf16;
#else
using Staged = float;
#endif
#if VECTOR_HALF && COPPICE_NATIVE_LANES > 4
constexpr int kLanes = COPPICE_NATIVE_LANES / 2;
#else
constexpr int kLanes = COPPICE_NATIVE_LANES;
#endif
using V = Vec<kLanes>;

constexpr int kDim = HEAD_DIM;
constexpr int kGroup = GROUP;
constexpr int kRows = TILE_Q * kGroup;  // rows of a task: (query token, head of the group)
constexpr int kChunks = kDim / kLanes;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

struct Block {
  std::int64_t token = 0;   // first query token
  std::int64_t head = 0;    // key/value head
  int tokens = 0;           // 0: nothing to do
  std::int64_t length = 0;  // keys of the sequence
  std::int64_t seen = 0;    // keys that the first query sees; one more for each next one
  const std::int32_t* pages = nullptr;
  // Keys that row r sees.
  COPPICE_INLINE std::int64_t keys(int row) const {
    return std::max<std::int64_t>(0, seen + row / kGroup);
  }
  COPPICE_INLINE std::int64_t most_keys() const {
    return std::max<std::int64_t>(0, seen + tokens - 1);
  }
  COPPICE_INLINE std::int64_t offset(std::int64_t key, std::int64_t kv_heads) const {
    const std::int64_t k = std::min(key, length - 1);
    const std::int64_t slot = std::int64_t{pages[k / PAGE_SIZE]} * PAGE_SIZE + k % PAGE_SIZE;
    return (slot * kv_heads + head) * kDim;
  }
};

// Task i of an upper bound of tiles: walks the sequences until it finds its own. args: 3 qo_indptr,
// 4 kv_indptr, 5 kv_indices, 6 kv_last_page_len, 9 batch.
static inline Block find_block(const coppice_task* task, void* const* args) {
  const std::int32_t* q = coppice_in<std::int32_t>(args, 3);
  const std::int32_t* kv = coppice_in<std::int32_t>(args, 4);
  const std::int64_t batch = coppice_dim(args, 9);
  std::int64_t left = LAST_FIRST ? task->grid[1] - 1 - task->index[1] : task->index[1];
  Block out;
  out.head = task->index[0];
  for (std::int64_t b = 0; b < batch; ++b) {
    const std::int64_t n = q[b + 1] - q[b], tiles = (n + TILE_Q - 1) / TILE_Q;
    if (left < tiles) {
      out.token = q[b] + left * TILE_Q;
      out.tokens = static_cast<int>(std::min<std::int64_t>(TILE_Q, n - left * TILE_Q));
      out.pages = coppice_in<std::int32_t>(args, 5) + kv[b];
      out.length =
          std::int64_t{kv[b + 1] - kv[b] - 1} * PAGE_SIZE + coppice_in<std::int32_t>(args, 6)[b];
      out.seen = left * TILE_Q + 1 + out.length - n;
      return out;
    }
    left -= tiles;
  }
  return out;
}

// Queries of a block, scaled to base-2 logits. Rows past the block's end repeat its last token.
static inline void load_queries(const Block& block, void* const* args, float (*q)[kDim]) {
  const std::int64_t heads = coppice_dim(args, 10) * kGroup;
  const float scale = coppice_scalar(args, 11) * 1.44269504f;
  for (int r = 0; r < kRows; ++r) {
    const std::int64_t token = block.token + std::min(r / kGroup, block.tokens - 1);
    const T* from =
        coppice_in<T>(args, 0) + (token * heads + block.head * kGroup + r % kGroup) * kDim;
    for (int c = 0; c < kDim; c += kLanes) {
      store<kLanes>(&q[r][c], load<kLanes>(from + c) * scale);
    }
  }
}

static inline void store_row(
    const Block& block, void* const* args, int row, const float* acc, float largest, float sum) {
  const std::int64_t heads = coppice_dim(args, 10) * kGroup;
  const std::int64_t at = (block.token + row / kGroup) * heads + block.head * kGroup + row % kGroup;
  const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
  for (int c = 0; c < kDim; c += kLanes) {
    store<kLanes>(coppice_out<T>(args, 7) + at * kDim + c, load<kLanes>(acc + c) * inverse);
  }
  coppice_out<float>(args, 8)[at] = sum > 0.0f ? largest + std::log2(sum) : kNothing;
}

// Four keys' rows, transposed into columns `stride` apart.
template <class Stored>
COPPICE_INLINE void turn_keys(const Stored* const* rows, Staged* to, int stride) {
  for (int d = 0; d < kDim; d += 4) {
    const Vec<4> r0 = load<4>(rows[0] + d), r1 = load<4>(rows[1] + d);
    const Vec<4> r2 = load<4>(rows[2] + d), r3 = load<4>(rows[3] + d);
    const Vec<4> a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
    const Vec<4> b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
    const Vec<4> c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
    const Vec<4> e = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    store<4>(to + d * stride, __builtin_shufflevector(a, b, 0, 1, 4, 5));
    store<4>(to + (d + 1) * stride, __builtin_shufflevector(a, b, 2, 3, 6, 7));
    store<4>(to + (d + 2) * stride, __builtin_shufflevector(c, e, 0, 1, 4, 5));
    store<4>(to + (d + 3) * stride, __builtin_shufflevector(c, e, 2, 3, 6, 7));
  }
}

// out[r][..] += weights[r][n] * values[n] for a tile of Rows x Width vectors of out.
template <int Rows, int Width>
COPPICE_INLINE void weigh(const float* weights,
                          std::int64_t stride,
                          const T* const* values,
                          int c,
                          int keys,
                          float (*acc)[kDim]) {
  V sum[Rows][Width];
#pragma GCC unroll 8
  for (int j = 0; j < Rows; ++j) {
#pragma GCC unroll 8
    for (int w = 0; w < Width; ++w) {
      sum[j][w] = load<kLanes>(&acc[j][(c + w) * kLanes]);
    }
  }
  for (int n = 0; n < keys; ++n) {
    V value[Width];
#pragma GCC unroll 8
    for (int w = 0; w < Width; ++w) {
      value[w] = load<kLanes>(values[n] + (c + w) * kLanes);
    }
#pragma GCC unroll 8
    for (int j = 0; j < Rows; ++j) {
      const V p = broadcast<kLanes>(weights[j * stride + n]);
#pragma GCC unroll 8
      for (int w = 0; w < Width; ++w) {
        sum[j][w] += p * value[w];
      }
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < Rows; ++j) {
#pragma GCC unroll 8
    for (int w = 0; w < Width; ++w) {
      store<kLanes>(&acc[j][(c + w) * kLanes], sum[j][w]);
    }
  }
}
