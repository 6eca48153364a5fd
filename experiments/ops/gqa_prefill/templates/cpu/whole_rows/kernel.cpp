// Whole rows of scores: a first sweep writes the scores of all keys by dot products on the plain
// cache, one softmax follows, a second sweep sums the values. No rescaling, nothing transposed.
#include "query_tiles.h"

namespace {

constexpr int kQueries = kRows % QK_ROWS == 0 ? QK_ROWS : 1;
constexpr int kOutputs = kRows % PV_ROWS == 0 ? PV_ROWS : 1;
constexpr int kWidth = kChunks % PV_CHUNKS == 0 ? PV_CHUNKS : 1;
constexpr int kKeys = PV_KEYS;

// scores[r..][n..n+3] as dot products.
COPPICE_INLINE void score_block(const float (*q)[kDim],
                                const T* const* k,
                                float* scores,
                                std::int64_t stride) {
  V sum[4][kQueries] = {};
#pragma GCC unroll 2
  for (int c = 0; c < kChunks; ++c) {
#pragma GCC unroll 8
    for (int j = 0; j < kQueries; ++j) {
      const V x = load<kLanes>(&q[j][c * kLanes]);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        sum[i][j] += x * load<kLanes>(k[i] + c * kLanes);
      }
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < kQueries; ++j) {
    store<4>(scores + j * stride, sum4<kLanes>(sum[0][j], sum[1][j], sum[2][j], sum[3][j]));
  }
}

// Softmax of a row without its division; keys past `live`, up to `padded`, weigh nothing.
COPPICE_INLINE void soften(
    float* scores, std::int64_t live, std::int64_t padded, float* largest, float* total) {
  std::fill(scores + live, scores + padded, kNothing);
  *largest = kNothing;
  *total = 0.0f;
  if (live == 0) {
    std::fill(scores, scores + padded, 0.0f);
    return;
  }
  V top = load<kLanes>(scores);
  for (std::int64_t n = kLanes; n < padded; n += kLanes) {
    top = max<kLanes>(top, load<kLanes>(scores + n));
  }
  *largest = maximum<kLanes>(top);
  V sum = {};
  for (std::int64_t n = 0; n < padded; n += kLanes) {
    const V p = exp2<kLanes>(load<kLanes>(scores + n) - *largest);
    sum += p;
    store<kLanes>(scores + n, p);
  }
  *total = coppice::simd::sum<kLanes>(sum);
}

}  // namespace

// grid: [key/value head, tile of queries (upper bound)]
COPPICE_KERNEL(attend) {
  const Block block = find_block(task, args);
  if (block.tokens == 0) {
    return;
  }
  constexpr int kStep = kKeys > kLanes ? kKeys : kLanes;
  const std::int64_t kv_heads = coppice_dim(args, 10), stride = coppice_dim(args, 13);
  const std::int64_t padded = (block.most_keys() + kStep - 1) / kStep * kStep;
  float* scores = coppice_out<float>(args, 12) + task->worker * kRows * stride;
  alignas(64) float q[kRows][kDim], acc[kRows][kDim] = {};
  float largest[kRows], sum[kRows];
  load_queries(block, args, q);
  for (std::int64_t n = 0; n < padded; n += 4) {
    const T* k[4];
    for (int i = 0; i < 4; ++i) {
      k[i] = coppice_in<T>(args, 1) + block.offset(n + i, kv_heads);
    }
    for (int r = 0; r < kRows; r += kQueries) {
      score_block(q + r, k, scores + r * stride + n, stride);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    soften(scores + r * stride,
           std::min(block.keys(r), block.most_keys()),
           padded,
           &largest[r],
           &sum[r]);
  }
  for (std::int64_t n = 0; n < padded; n += kKeys) {
    const T* v[kKeys];
    for (int i = 0; i < kKeys; ++i) {
      v[i] = coppice_in<T>(args, 2) + block.offset(n + i, kv_heads);
    }
    for (int r = 0; r < kRows; r += kOutputs) {
      for (int c = 0; c < kChunks; c += kWidth) {
        weigh<kOutputs, kWidth>(scores + r * stride + n, stride, v, c, kKeys, acc + r);
      }
    }
  }
  for (int r = 0; r < block.tokens * kGroup; ++r) {
    store_row(block, args, r, acc[r], largest[r], sum[r]);
  }
}
