// One pass over the keys with an online softmax: a task owns one sequence and a few key/value
// heads; scores of a tile of keys, softmax update, weighted values, next tile.
#include "coppice_cpu.h"

#include <cmath>
#include <limits>

namespace {

using namespace coppice::simd;

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#if STAGING_BF16
using Tile = coppice_bf16;  // keys and values pass through bf16
#elif STAGING_COPY
using Tile = T;
#endif
#if VECTOR_HALF && COPPICE_NATIVE_LANES > 4
constexpr int kLanes = COPPICE_NATIVE_LANES / 2;
#else
constexpr int kLanes = COPPICE_NATIVE_LANES;
#endif
using V = Vec<kLanes>;

constexpr int kDim = HEAD_DIM;
constexpr int kGroup = GROUP;
constexpr int kTile = TILE_KV;
constexpr int kChunks = kDim / kLanes;
constexpr int kQueries = kGroup % QK_HEADS == 0 ? QK_HEADS : 1;   // rows of q per register block
constexpr int kOutputs = kGroup % PV_HEADS == 0 ? PV_HEADS : 1;   // rows of out per block
constexpr int kWidth = kChunks % PV_CHUNKS == 0 ? PV_CHUNKS : 1;  // vectors of out per block
constexpr int kAhead = PREFETCH_KEYS;
constexpr int kRowBytes = kDim * static_cast<int>(sizeof(T));

struct Cache {
  const T* k;
  const T* v;
  const std::int32_t* pages;
  std::int64_t row;     // elements from one token to the next: kv_heads * head_dim
  std::int64_t length;  // tokens of this sequence
  // Offset of a token's first head. Past the end: the last token, whose weight is set to 0.
  std::int64_t offset(std::int64_t token) const {
    const std::int64_t t = token < length ? token : length - 1;
    return (std::int64_t{pages[t / PAGE_SIZE]} * PAGE_SIZE + t % PAGE_SIZE) * row;
  }
};

struct State {
  alignas(64) float q[kGroup][kDim];  // scaled to base-2 logits
  alignas(64) float acc[kGroup][kDim];
  float largest[kGroup];
  float sum[kGroup];
};

COPPICE_INLINE void prefetch_row(const T* row) {
  for (int i = 0; i < kRowBytes; i += 64) {
    __builtin_prefetch(reinterpret_cast<const char*>(row) + i, 0, PREFETCH_NEAR ? 3 : 2);
  }
}

// scores[g][n] for four keys and kQueries rows of q: registers hold 4 * kQueries sums.
template <class Row>
COPPICE_INLINE void score_block(const State& s, int g, const Row* const* k, float* scores) {
  V sum[4][kQueries] = {};
#pragma GCC unroll 2
  for (int c = 0; c < kChunks; ++c) {
#pragma GCC unroll 8
    for (int j = 0; j < kQueries; ++j) {
      const V q = load<kLanes>(&s.q[g + j][c * kLanes]);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        sum[i][j] += q * load<kLanes>(k[i] + c * kLanes);
      }
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < kQueries; ++j) {
    store<4>(scores + (g + j) * kTile, sum4<kLanes>(sum[0][j], sum[1][j], sum[2][j], sum[3][j]));
  }
}

// Turns a tile's scores into weights; returns by how much the old sums shrink.
COPPICE_INLINE float soften(State& s, int g, float* scores, std::int64_t live) {
  for (std::int64_t n = live; n < kTile; ++n) {
    scores[n] = -std::numeric_limits<float>::infinity();
  }
  V top = load<kLanes>(scores);
  for (int n = kLanes; n < kTile; n += kLanes) {
    top = max<kLanes>(top, load<kLanes>(scores + n));
  }
  const float before = s.largest[g];
  const float now = std::fmax(before, maximum<kLanes>(top));
  V sum = {};
  for (int n = 0; n < kTile; n += kLanes) {
    const V p = exp2<kLanes>(load<kLanes>(scores + n) - now);
    sum += p;
    store<kLanes>(scores + n, p);
  }
  const float shrink = std::exp2(before - now);
  s.largest[g] = now;
  s.sum[g] = s.sum[g] * shrink + coppice::simd::sum<kLanes>(sum);
  return shrink;
}

// out[g..][c..] = shrink * out + weights * values over the tile, sums in registers.
template <class Row>
COPPICE_INLINE void weigh_block(State& s,
                                int g,
                                int c,
                                const Row* const* v,
                                int keys,
                                const float* weights,
                                const float* shrink) {
  V sum[kOutputs][kWidth];
#pragma GCC unroll 8
  for (int j = 0; j < kOutputs; ++j) {
#pragma GCC unroll 8
    for (int w = 0; w < kWidth; ++w) {
      sum[j][w] = load<kLanes>(&s.acc[g + j][(c + w) * kLanes]) * shrink[g + j];
    }
  }
  for (int n = 0; n < keys; ++n) {
    V value[kWidth];
#pragma GCC unroll 8
    for (int w = 0; w < kWidth; ++w) {
      value[w] = load<kLanes>(v[n] + (c + w) * kLanes);
    }
#pragma GCC unroll 8
    for (int j = 0; j < kOutputs; ++j) {
      const V p = broadcast<kLanes>(weights[(g + j) * kTile + n]);
#pragma GCC unroll 8
      for (int w = 0; w < kWidth; ++w) {
        sum[j][w] += p * value[w];
      }
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < kOutputs; ++j) {
#pragma GCC unroll 8
    for (int w = 0; w < kWidth; ++w) {
      store<kLanes>(&s.acc[g + j][(c + w) * kLanes], sum[j][w]);
    }
  }
}

// One tile of keys for one key/value head.
template <class Row>
COPPICE_INLINE void attend_tile(State& s,
                                const Row* const* k,
                                const Row* const* v,
                                std::int64_t live,
                                const T* const* next_k,
                                const T* const* next_v) {
  alignas(64) float scores[kGroup * kTile];
  const int keys = static_cast<int>((live + 3) / 4 * 4);
  for (int n = 0; n < keys; n += 4) {
    if (kAhead > 0) {
      for (int i = n; i < n + 4; ++i) {
        prefetch_row(next_k[i]);
        prefetch_row(next_v[i]);
      }
    }
    for (int g = 0; g < kGroup; g += kQueries) {
      score_block(s, g, k + n, scores + n);
    }
  }
  float shrink[kGroup];
  for (int g = 0; g < kGroup; ++g) {
    shrink[g] = soften(s, g, scores + g * kTile, live);
  }
  for (int g = 0; g < kGroup; g += kOutputs) {
    for (int c = 0; c < kChunks; c += kWidth) {
      weigh_block(s, g, c, v, keys, scores, shrink);
    }
  }
}

#if !STAGING_NONE
// Copies a row of the cache, in the tile's type.
COPPICE_INLINE void stage_row(Tile* to, const T* from) {
#pragma GCC unroll 4
  for (int c = 0; c < kDim; c += kLanes) {
    store<kLanes>(to + c, load<kLanes>(from + c));
  }
}
#endif

void load_state(State& s, const T* q, float scale) {
  for (int g = 0; g < kGroup; ++g) {
    for (int d = 0; d < kDim; ++d) {
      s.q[g][d] = coppice_widen(q[g * kDim + d]) * scale;
      s.acc[g][d] = 0.0f;
    }
    s.largest[g] = -std::numeric_limits<float>::infinity();
    s.sum[g] = 0.0f;
  }
}

void store_state(const State& s, T* out, float* lse) {
  for (int g = 0; g < kGroup; ++g) {
    const float inverse = s.sum[g] > 0.0f ? 1.0f / s.sum[g] : 0.0f;
    for (int d = 0; d < kDim; ++d) {
      out[g * kDim + d] = coppice_narrow<T>(s.acc[g][d] * inverse);
    }
    lse[g] = s.largest[g] + std::log2(s.sum[g]);
  }
}

}  // namespace

// grid: [sequence, block of HEADS_PER_TASK key/value heads]
COPPICE_KERNEL(attend) {
  const std::int64_t b = task->index[0];
  const std::int64_t kv_heads = coppice_dim(args, 8);
  const std::int64_t first = task->index[1] * HEADS_PER_TASK;
  const int heads =
      static_cast<int>(kv_heads - first < HEADS_PER_TASK ? kv_heads - first : HEADS_PER_TASK);
  const std::int32_t* indptr = coppice_in<std::int32_t>(args, 3);
  const std::int32_t pages = indptr[b + 1] - indptr[b];
  const std::int64_t length =
      pages == 0 ? 0 : std::int64_t{pages - 1} * PAGE_SIZE + coppice_in<std::int32_t>(args, 5)[b];
  const Cache cache{coppice_in<T>(args, 1),
                    coppice_in<T>(args, 2),
                    coppice_in<std::int32_t>(args, 4) + indptr[b],
                    kv_heads * kDim,
                    length};
  const std::int64_t row = (b * kv_heads + first) * kGroup;
  State state[HEADS_PER_TASK];
  for (int h = 0; h < heads; ++h) {
    load_state(state[h],
               coppice_in<T>(args, 0) + (row + h * kGroup) * kDim,
               coppice_scalar(args, 9) * 1.44269504f);
  }
  std::int64_t at[kTile + kAhead];
  for (std::int64_t t = 0; t < length; t += kTile) {
    for (int n = 0; n < kTile + kAhead; ++n) {
      at[n] = cache.offset(t + n) + first * kDim;
    }
    const std::int64_t live = length - t < kTile ? length - t : kTile;
    for (int h = 0; h < heads; ++h) {
      const T* k[kTile + kAhead];
      const T* v[kTile + kAhead];
      for (int n = 0; n < kTile + kAhead; ++n) {
        k[n] = cache.k + at[n] + h * kDim;
        v[n] = cache.v + at[n] + h * kDim;
      }
#if STAGING_NONE
      attend_tile(state[h], k, v, live, k + kAhead, v + (PREFETCH_VALUES_AHEAD ? kAhead : 0));
#else
      alignas(64) Tile staged_k[kTile][kDim], staged_v[kTile][kDim];
      const Tile *rows_k[kTile], *rows_v[kTile];
      for (int n = 0; n < kTile; ++n) {
        stage_row(staged_k[n], k[n]);
        stage_row(staged_v[n], v[n]);
        rows_k[n] = staged_k[n];
        rows_v[n] = staged_v[n];
      }
      attend_tile(
          state[h], rows_k, rows_v, live, k + kAhead, v + (PREFETCH_VALUES_AHEAD ? kAhead : 0));
#endif
    }
  }
  for (int h = 0; h < heads; ++h) {
    store_state(state[h],
                coppice_out<T>(args, 6) + (row + h * kGroup) * kDim,
                coppice_out<float>(args, 7) + row + h * kGroup);
  }
}
