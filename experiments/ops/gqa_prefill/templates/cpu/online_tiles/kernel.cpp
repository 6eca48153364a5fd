// Tiles of keys with an online softmax: scores are an outer product over a transposed copy of the
// tile's keys, so that no sum runs across a vector; weights and outputs stay in L1 and L2.
#include "query_tiles.h"

namespace {

constexpr int kTile = TILE_KV;
constexpr int kQueries = kRows % QK_ROWS == 0 ? QK_ROWS : 1;
constexpr int kVectors = kTile / kLanes % QK_VECTORS == 0 ? QK_VECTORS : 1;
constexpr int kOutputs = kRows % PV_ROWS == 0 ? PV_ROWS : 1;
constexpr int kWidth = kChunks % PV_CHUNKS == 0 ? PV_CHUNKS : 1;

struct State {
  alignas(64) float q[kRows][kDim];
  alignas(64) float acc[kRows][kDim];
  alignas(64) float scores[kRows][kTile];
  alignas(64) Staged turned[kDim][kTile];
  float largest[kRows], sum[kRows];
};

COPPICE_INLINE void score_tile(State& s) {
  for (int r = 0; r < kRows; r += kQueries) {
    for (int n = 0; n < kTile; n += kVectors * kLanes) {
      V sum[kQueries][kVectors] = {};
#pragma GCC unroll 2
      for (int d = 0; d < kDim; ++d) {
        V k[kVectors];
#pragma GCC unroll 8
        for (int w = 0; w < kVectors; ++w) {
          k[w] = load<kLanes>(&s.turned[d][n + w * kLanes]);
        }
#pragma GCC unroll 8
        for (int j = 0; j < kQueries; ++j) {
          const V q = broadcast<kLanes>(s.q[r + j][d]);
#pragma GCC unroll 8
          for (int w = 0; w < kVectors; ++w) {
            sum[j][w] += q * k[w];
          }
        }
      }
#pragma GCC unroll 8
      for (int j = 0; j < kQueries; ++j) {
#pragma GCC unroll 8
        for (int w = 0; w < kVectors; ++w) {
          store<kLanes>(&s.scores[r + j][n + w * kLanes], sum[j][w]);
        }
      }
    }
  }
}

// Scores to weights for one row; `live` of the tile's keys are seen.
COPPICE_INLINE void soften(State& s, int r, std::int64_t live) {
  float* scores = s.scores[r];
  for (std::int64_t n = std::max<std::int64_t>(live, 0); n < kTile; ++n) {
    scores[n] = kNothing;
  }
  if (live <= 0) {
    std::fill(scores, scores + kTile, 0.0f);
    return;
  }
  V top = load<kLanes>(scores);
  for (int n = kLanes; n < kTile; n += kLanes) {
    top = max<kLanes>(top, load<kLanes>(scores + n));
  }
  const float now = std::fmax(s.largest[r], maximum<kLanes>(top));
  V sum = {};
  for (int n = 0; n < kTile; n += kLanes) {
    const V p = exp2<kLanes>(load<kLanes>(scores + n) - now);
    sum += p;
    store<kLanes>(scores + n, p);
  }
  if (now > s.largest[r]) {
    const float shrink = std::exp2(s.largest[r] - now);
    s.sum[r] *= shrink;
    for (int c = 0; c < kDim; c += kLanes) {
      store<kLanes>(&s.acc[r][c], load<kLanes>(&s.acc[r][c]) * shrink);
    }
  }
  s.sum[r] += coppice::simd::sum<kLanes>(sum);
  s.largest[r] = now;
}

}  // namespace

// grid: [key/value head, tile of queries (upper bound)]
COPPICE_KERNEL(attend) {
  const Block block = find_block(task, args);
  if (block.tokens == 0) {
    return;
  }
  const std::int64_t kv_heads = coppice_dim(args, 10), most = block.most_keys();
  State s;
  load_queries(block, args, s.q);
  for (int r = 0; r < kRows; ++r) {
    std::fill(s.acc[r], s.acc[r] + kDim, 0.0f);
    s.largest[r] = kNothing;
    s.sum[r] = 0.0f;
  }
  for (std::int64_t t = 0; t < most; t += kTile) {
    const T *k[kTile], *v[kTile];
    for (int n = 0; n < kTile; ++n) {
      const std::int64_t at = block.offset(t + n, kv_heads);
      k[n] = coppice_in<T>(args, 1) + at;
      v[n] = coppice_in<T>(args, 2) + at;
      for (int i = 0; PREFETCH_VALUES && i < kDim * static_cast<int>(sizeof(T)); i += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(v[n]) + i, 0, 2);
      }
    }
    for (int n = 0; n < kTile; n += 4) {
      turn_keys(k + n, &s.turned[0][n], kTile);
    }
    score_tile(s);
    for (int r = 0; r < kRows; ++r) {
      soften(s, r, block.keys(r) - t);
    }
    const int keys = static_cast<int>(std::min<std::int64_t>(kTile, most - t));
    for (int c = 0; c < kChunks; c += kWidth) {
      for (int r = 0; r < kRows; r += kOutputs) {
        weigh<kOutputs, kWidth>(s.scores[r], kTile, v, c, keys, s.acc + r);
      }
    }
  }
  for (int r = 0; r < block.tokens * kGroup; ++r) {
    store_row(block, args, r, s.acc[r], s.largest[r], s.sum[r]);
  }
}
