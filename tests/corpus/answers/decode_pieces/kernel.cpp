// Cuts the tokens of the whole batch, laid end to end, into equal pieces: a task owns one piece and
// walks through the sequences in it. A sequence inside one piece is written at once; only those
// that a cut goes through leave partial results, which the last piece to finish combines.
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
#if VECTOR_HALF && COPPICE_NATIVE_LANES > 4
constexpr int kLanes = COPPICE_NATIVE_LANES / 2;
#else
constexpr int kLanes = COPPICE_NATIVE_LANES;
#endif
using V = Vec<kLanes>;

constexpr int kDim = HEAD_DIM;
constexpr int kGroup = GROUP;
constexpr int kTile = TILE_KV;
constexpr int kHeads = HEADS_PER_TASK;
constexpr int kChunks = kDim / kLanes;
constexpr int kQueries = kGroup % QK_HEADS == 0 ? QK_HEADS : 1;   // rows of q per register block
constexpr int kOutputs = kGroup % PV_HEADS == 0 ? PV_HEADS : 1;   // rows of out per block
constexpr int kWidth = kChunks % PV_CHUNKS == 0 ? PV_CHUNKS : 1;  // vectors of out per block
constexpr int kKeys = PV_KEYS;                                    // keys summed before a store
constexpr int kAhead = PREFETCH_KEYS;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

struct State {
  alignas(64) float q[kHeads * kGroup][kDim];  // scaled to base-2 logits
  alignas(64) float acc[kHeads * kGroup][kDim];
  alignas(64) float scores[kHeads * kGroup][kTile];
  float largest[kHeads * kGroup];
  float sum[kHeads * kGroup];
};

COPPICE_INLINE void prefetch_row(const T* row, int heads) {
  const int bytes = heads * kDim * static_cast<int>(sizeof(T));
  for (int i = 0; i < bytes; i += 64) {
    __builtin_prefetch(reinterpret_cast<const char*>(row) + i, 0, PREFETCH_NEAR ? 3 : 2);
  }
}

// scores[row..][n..n+3] for one key/value head.
COPPICE_INLINE void score_block(State& s, int row, const T* const* k, int head, int n) {
  V sum[4][kQueries] = {};
#pragma GCC unroll 2
  for (int c = 0; c < kChunks; ++c) {
#pragma GCC unroll 8
    for (int j = 0; j < kQueries; ++j) {
      const V q = load<kLanes>(&s.q[row + j][c * kLanes]);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        sum[i][j] += q * load<kLanes>(k[i] + head * kDim + c * kLanes);
      }
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < kQueries; ++j) {
    store<4>(&s.scores[row + j][n], sum4<kLanes>(sum[0][j], sum[1][j], sum[2][j], sum[3][j]));
  }
}

// Scores to weights for one query row; the output so far shrinks to the new maximum.
COPPICE_INLINE void soften(State& s, int row, int live, int padded) {
  float* scores = s.scores[row];
  for (int n = live; n < padded; ++n) {
    scores[n] = kNothing;
  }
  V top = load<kLanes>(scores);
  for (int n = kLanes; n < padded; n += kLanes) {
    top = max<kLanes>(top, load<kLanes>(scores + n));
  }
  const float before = s.largest[row];
  const float now = std::fmax(before, maximum<kLanes>(top));
  V sum = {};
  for (int n = 0; n < padded; n += kLanes) {
    const V p = exp2<kLanes>(load<kLanes>(scores + n) - now);
    sum += p;
    store<kLanes>(scores + n, p);
  }
  const float shrink = std::exp2(before - now);
  s.sum[row] = s.sum[row] * shrink + coppice::simd::sum<kLanes>(sum);
  s.largest[row] = now;
  if (shrink != 1.0f) {
    for (int c = 0; c < kDim; c += kLanes) {
      store<kLanes>(&s.acc[row][c], load<kLanes>(&s.acc[row][c]) * shrink);
    }
  }
}

// acc[row..] += weights * values of kKeys keys.
COPPICE_INLINE void weigh_block(State& s, int row, const T* const* v, int head, int n) {
#pragma GCC unroll 1
  for (int c = 0; c < kChunks; c += kWidth) {
    V sum[kOutputs][kWidth];
#pragma GCC unroll 8
    for (int j = 0; j < kOutputs; ++j) {
#pragma GCC unroll 8
      for (int w = 0; w < kWidth; ++w) {
        sum[j][w] = load<kLanes>(&s.acc[row + j][(c + w) * kLanes]);
      }
    }
#pragma GCC unroll 1
    for (int i = 0; i < kKeys; ++i) {
      V value[kWidth];
#pragma GCC unroll 8
      for (int w = 0; w < kWidth; ++w) {
        value[w] = load<kLanes>(v[i] + head * kDim + (c + w) * kLanes);
      }
#pragma GCC unroll 8
      for (int j = 0; j < kOutputs; ++j) {
        const V p = broadcast<kLanes>(s.scores[row + j][n + i]);
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
        store<kLanes>(&s.acc[row + j][(c + w) * kLanes], sum[j][w]);
      }
    }
  }
}

struct Range {
  const std::int32_t* pages;
  std::int64_t begin, end;  // tokens of this task
};

// at[i]: elements from the cache's start to token `first + i`, clamped to the range.
COPPICE_INLINE void locate(
    const Range& r, std::int64_t first, int count, std::int64_t stride, std::int64_t* at) {
  for (int i = 0; i < count; ++i) {
    const std::int64_t t = first + i < r.end ? first + i : r.end - 1;
    at[i] = (std::int64_t{r.pages[t / PAGE_SIZE]} * PAGE_SIZE + t % PAGE_SIZE) * stride;
  }
}

COPPICE_INLINE void attend_tile(
    State& s, const T* k_cache, const T* v_cache, const std::int64_t* at, int live, int heads) {
  constexpr int kStep = kKeys > kLanes ? kKeys : kLanes;
  const int padded = (live + kStep - 1) / kStep * kStep;
  for (int n = 0; n < padded; n += 4) {
    const T* k[4];
    for (int i = 0; i < 4; ++i) {
      k[i] = k_cache + at[n + i];
      if (kAhead > 0) {
        prefetch_row(k_cache + at[n + i + kAhead], heads);
      }
    }
    for (int h = 0; h < heads; ++h) {
      for (int g = 0; g < kGroup; g += kQueries) {
        score_block(s, h * kGroup + g, k, h, n);
      }
    }
  }
  for (int row = 0; row < heads * kGroup; ++row) {
    soften(s, row, live, padded);
  }
  for (int n = 0; n < padded; n += kKeys) {
    const T* v[kKeys];
    for (int i = 0; i < kKeys; ++i) {
      v[i] = v_cache + at[n + i];
      if (kAhead > 0) {
        prefetch_row(v_cache + at[n + i + kAhead], heads);
      }
    }
    for (int h = 0; h < heads; ++h) {
      for (int g = 0; g < kGroup; g += kOutputs) {
        weigh_block(s, h * kGroup + g, v, h, n);
      }
    }
  }
}

void begin_state(State& s, const T* q, int rows, float scale) {
  for (int r = 0; r < rows; ++r) {
    for (int d = 0; d < kDim; ++d) {
      s.q[r][d] = coppice_widen(q[r * kDim + d]) * scale;
      s.acc[r][d] = 0.0f;
    }
    s.largest[r] = kNothing;
    s.sum[r] = 0.0f;
  }
}

COPPICE_INLINE std::int64_t length_of(const std::int32_t* indptr,
                                      const std::int32_t* last,
                                      std::int64_t b) {
  const std::int64_t pages = indptr[b + 1] - indptr[b];
  return pages == 0 ? 0 : (pages - 1) * PAGE_SIZE + last[b];
}

// One query row from the partial results of pieces [from, to]: each is an output and a log-sum-exp.
void combine_row(std::int64_t row,
                 std::int64_t from,
                 std::int64_t to,
                 const float* partial,
                 const float* norms,
                 T* out,
                 float* lse) {
  const float* mine = norms + row * PIECES;
  float largest = kNothing;
  for (std::int64_t i = from; i <= to; ++i) {
    largest = std::fmax(largest, mine[i]);
  }
  float total = 0.0f, weight[PIECES];
  for (std::int64_t i = from; i <= to; ++i) {
    weight[i] = std::exp2(mine[i] - largest);
    total += weight[i];
  }
  const float inverse = 1.0f / total;
  for (int c = 0; c < kDim; c += kLanes) {
    V sum = {};
    for (std::int64_t i = from; i <= to; ++i) {
      sum += load<kLanes>(partial + (row * PIECES + i) * kDim + c) * (weight[i] * inverse);
    }
    store<kLanes>(out + row * kDim + c, sum);
  }
  lse[row] = largest + std::log2(total);
}

// A sequence that lies in one piece, or has no token at all.
COPPICE_INLINE void write_rows(const State& s, std::int64_t row, int rows, T* out, float* lse) {
  for (int r = 0; r < rows; ++r) {
    const float inverse = s.sum[r] > 0.0f ? 1.0f / s.sum[r] : 0.0f;
    for (int c = 0; c < kDim; c += kLanes) {
      store<kLanes>(out + (row + r) * kDim + c, load<kLanes>(&s.acc[r][c]) * inverse);
    }
    lse[row + r] = s.largest[r] + std::log2(s.sum[r]);
  }
}

}  // namespace

// grid: [piece, block of HEADS_PER_TASK key/value heads]
COPPICE_KERNEL(attend) {
  const std::int64_t piece = task->index[0];
  const std::int64_t first = task->index[1] * kHeads;
  const std::int64_t kv_heads = coppice_dim(args, 8), batch = coppice_dim(args, 13);
  const int heads = static_cast<int>(kv_heads - first < kHeads ? kv_heads - first : kHeads);
  const std::int32_t* indptr = coppice_in<std::int32_t>(args, 3);
  const std::int32_t* last = coppice_in<std::int32_t>(args, 5);
  float* partial = coppice_out<float>(args, 6);
  float* norms = coppice_out<float>(args, 7);
  T* out = coppice_out<T>(args, 11);
  float* lse = coppice_out<float>(args, 12);
  std::int64_t total = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    total += length_of(indptr, last, b);
  }
  // Equal shares, in whole vectors of keys.
  const std::int64_t share = ((total + PIECES - 1) / PIECES + kLanes - 1) / kLanes * kLanes;
  const std::int64_t begin = piece * share, end = begin + share;
  const T* k_cache = coppice_in<T>(args, 1) + first * kDim;
  const T* v_cache = coppice_in<T>(args, 2) + first * kDim;
  State s;
  std::int64_t at[kTile + kAhead];
  std::int64_t offset = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    const std::int64_t length = length_of(indptr, last, b);
    const std::int64_t from = begin > offset ? begin - offset : 0;
    const std::int64_t to = end - offset < length && length > 0 ? end - offset : length;
    const std::int64_t place = offset;
    offset += length;
    const bool empty_here = length == 0 && piece == 0;
    if (from >= to && !empty_here) {
      continue;
    }
    const std::int64_t row = (b * kv_heads + first) * kGroup;
    begin_state(s,
                coppice_in<T>(args, 0) + row * kDim,
                heads * kGroup,
                coppice_scalar(args, 9) * 1.44269504f);
    const Range range{coppice_in<std::int32_t>(args, 4) + indptr[b], from, to};
    for (std::int64_t t = from; t < to; t += kTile) {
      locate(range, t, kTile + kAhead, kv_heads * kDim, at);
      const std::int64_t left = to - t;
      attend_tile(s, k_cache, v_cache, at, static_cast<int>(left < kTile ? left : kTile), heads);
    }
    if (to - from == length) {
      write_rows(s, row, heads * kGroup, out, lse);
      continue;
    }
    for (int r = 0; r < heads * kGroup; ++r) {
      const std::int64_t slot = (row + r) * PIECES + piece;
      const float inverse = 1.0f / s.sum[r];
      for (int c = 0; c < kDim; c += kLanes) {
        store<kLanes>(partial + slot * kDim + c, load<kLanes>(&s.acc[r][c]) * inverse);
      }
      norms[slot] = s.largest[r] + std::log2(s.sum[r]);
    }
    // The last piece of this sequence to finish combines all of them.
    const std::int64_t low = place / share, high = (place + length - 1) / share;
    std::int32_t* arrived =
        coppice_out<std::int32_t>(args, 10) + b * task->grid[1] + task->index[1];
    if (__atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL) == high - low + 1) {
      for (int r = 0; r < heads * kGroup; ++r) {
        combine_row(row + r, low, high, partial, norms, out, lse);
      }
    }
  }
}
