// One pass over a sequence's rows with an online softmax; a task owns one sequence and a few heads,
// which share each row while it is in the cache.
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
constexpr int kLanes = COPPICE_NATIVE_LANES;
using V = Vec<kLanes>;
constexpr int kWidth = LATENT + ROPE;
constexpr int kHeads = HEADS_PER_TASK;
constexpr int kTile = TILE_KV;

struct State {
  alignas(64) float query[kHeads][kWidth];  // scaled to base-2 logits
  alignas(64) float acc[kHeads][LATENT];
  float top[kHeads], sum[kHeads];
};

// The rows of one tile; beyond the end the last row again, whose weight will be zero.
struct Rows {
  const T* at[kTile];
  Rows(const T* cache, const std::int32_t* table, std::int64_t first, std::int64_t length) {
    for (int i = 0; i < kTile; ++i) {
      const std::int64_t t = first + i < length ? first + i : length - 1;
      at[i] = cache + (std::int64_t{table[t / PAGE_SIZE]} * PAGE_SIZE + t % PAGE_SIZE) * kWidth;
    }
  }
};

COPPICE_INLINE void score_rows(const State& s, const Rows& rows, float (*scores)[kTile]) {
  for (int n = 0; n < kTile; n += 4) {
    for (int h = 0; h < kHeads; h += QK_HEADS) {
      V sum[QK_HEADS][4] = {};
#pragma GCC unroll 2
      for (int d = 0; d < kWidth; d += kLanes) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const V row = load<kLanes>(rows.at[n + i] + d);
#pragma GCC unroll 4
          for (int j = 0; j < QK_HEADS; ++j) {
            sum[j][i] += load<kLanes>(&s.query[h + j][d]) * row;
          }
        }
      }
#pragma GCC unroll 4
      for (int j = 0; j < QK_HEADS; ++j) {
        store<4>(&scores[h + j][n], sum4<kLanes>(sum[j][0], sum[j][1], sum[j][2], sum[j][3]));
      }
    }
  }
}

// Scores become weights; returns by how much the sums so far shrink.
COPPICE_INLINE float soften(State& s, int h, float* scores, std::int64_t live) {
  float top = s.top[h];
  for (int n = 0; n < kTile; ++n) {
    scores[n] = n < live ? scores[n] : -std::numeric_limits<float>::infinity();
    top = std::fmax(top, scores[n]);
  }
  V sum = {};
  for (int n = 0; n < kTile; n += kLanes) {
    const V weight = exp2<kLanes>(load<kLanes>(scores + n) - top);
    store<kLanes>(scores + n, weight);
    sum += weight;
  }
  const float shrink = std::exp2(s.top[h] - top);
  s.top[h] = top;
  s.sum[h] = s.sum[h] * shrink + coppice::simd::sum<kLanes>(sum);
  return shrink;
}

COPPICE_INLINE void weigh_rows(State& s,
                               const Rows& rows,
                               const float (*weights)[kTile],
                               const float* shrink) {
  constexpr int kStep = PV_CHUNKS * kLanes;
  for (int h = 0; h < kHeads; h += PV_HEADS) {
    for (int d = 0; d < LATENT; d += kStep) {
      V sum[PV_HEADS][PV_CHUNKS];
#pragma GCC unroll 16
      for (int i = 0; i < PV_HEADS * PV_CHUNKS; ++i) {
        const int j = i / PV_CHUNKS, c = i % PV_CHUNKS;
        sum[j][c] = load<kLanes>(&s.acc[h + j][d + c * kLanes]) * shrink[h + j];
      }
      for (int n = 0; n < kTile; ++n) {
#pragma GCC unroll 16
        for (int c = 0; c < PV_CHUNKS; ++c) {
          const V row = load<kLanes>(rows.at[n] + d + c * kLanes);
#pragma GCC unroll 16
          for (int j = 0; j < PV_HEADS; ++j) {
            sum[j][c] += row * weights[h + j][n];
          }
        }
      }
#pragma GCC unroll 16
      for (int i = 0; i < PV_HEADS * PV_CHUNKS; ++i) {
        store<kLanes>(&s.acc[h + i / PV_CHUNKS][d + i % PV_CHUNKS * kLanes],
                      sum[i / PV_CHUNKS][i % PV_CHUNKS]);
      }
    }
  }
}

void begin(State& s, const T* nope, const T* rope, float scale) {
  for (int h = 0; h < kHeads; ++h) {
    for (int d = 0; d < kWidth; ++d) {
      s.query[h][d] =
          coppice_widen(d < LATENT ? nope[h * LATENT + d] : rope[h * ROPE + d - LATENT]) * scale;
    }
    for (float& x : s.acc[h]) {
      x = 0.0f;
    }
    s.top[h] = -std::numeric_limits<float>::infinity();
    s.sum[h] = 0.0f;
  }
}

}  // namespace

// grid: [sequence, block of HEADS_PER_TASK heads]
COPPICE_KERNEL(attend) {
  const std::int64_t b = task->index[0], heads = coppice_dim(args, 8);
  const std::int64_t head = b * heads + task->index[1] * kHeads;
  const std::int32_t* indptr = coppice_in<std::int32_t>(args, 3);
  const std::int64_t pages = indptr[b + 1] - indptr[b];
  const std::int64_t length =
      pages == 0 ? 0 : (pages - 1) * PAGE_SIZE + coppice_in<std::int32_t>(args, 5)[b];
  State s;
  begin(s,
        coppice_in<T>(args, 0) + head * LATENT,
        coppice_in<T>(args, 1) + head * ROPE,
        coppice_scalar(args, 9) * 1.44269504f);
  for (std::int64_t t = 0; t < length; t += kTile) {
    const Rows rows(
        coppice_in<T>(args, 2), coppice_in<std::int32_t>(args, 4) + indptr[b], t, length);
    alignas(64) float scores[kHeads][kTile];
    float shrink[kHeads];
    score_rows(s, rows, scores);
    for (int h = 0; h < kHeads; ++h) {
      shrink[h] = soften(s, h, scores[h], length - t);
    }
    weigh_rows(s, rows, scores, shrink);
  }
  for (int h = 0; h < kHeads; ++h) {
    const float inverse = s.sum[h] > 0.0f ? 1.0f / s.sum[h] : 0.0f;
    for (int d = 0; d < LATENT; ++d) {
      coppice_out<T>(args, 6)[(head + h) * LATENT + d] = coppice_narrow<T>(s.acc[h][d] * inverse);
    }
    coppice_out<float>(args, 7)[head + h] = s.top[h] + std::log2(s.sum[h]);
  }
}
