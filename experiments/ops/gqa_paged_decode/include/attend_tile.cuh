// What the ring templates of decode attention share: a warp attends to 16 keys at a time, which are the
// rows of its products; a group of up to 8 query heads are their columns. HEAD_DIM is the kernel's.
#pragma once

#include "coppice_hopper.cuh"

constexpr int kTile = 16;
constexpr int kSteps = HEAD_DIM / 16;

struct State {
  float acc[kSteps][4];
  float top[2], sum[2];
};

static __device__ __forceinline__ void reset(State& w) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    w.top[h] = -COPPICE_INFINITY;
    w.sum[h] = 0.0f;
  }
#pragma unroll
  for (int d = 0; d < kSteps; ++d) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      w.acc[d][i] = 0.0f;
    }
  }
}

// A box brings what lies behind the last token as well, which may be no number; a weight of zero does
// not help against that. The next copy into this place must come after these stores.
template <class Layout>
static __device__ __forceinline__ void clear_values(coppice_u32 values, int valid, int lane) {
  for (int i = lane; i < (kTile - valid) * (HEAD_DIM / 8); i += 32) {
    coppice_store_shared16(values + Layout::place(valid + i / (HEAD_DIM / 8), i % (HEAD_DIM / 8)),
                           make_uint4(0, 0, 0, 0));
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncwarp();
}

// Layout::place says where 16 bytes lie from a tile's first key or value on: number `sixteen` of token
// `row`. The first `valid` tokens count; `q` are the queries as the products want them.
template <class Layout>
static __device__ __forceinline__ void attend(State& w, coppice_u32 keys, coppice_u32 values, int valid, float scale,
                                              const coppice_u32 (&q)[kSteps][2], int lane) {
  // Two chains of products instead of one: their latency is the tile's.
  float s[4] = {0.0f, 0.0f, 0.0f, 0.0f}, other[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  if (Layout::kClears && valid < kTile) {
    clear_values<Layout>(values, valid, lane);
  }
#pragma unroll
  for (int k = 0; k < kSteps; k += 2) {
    coppice_u32 a[4], b[4];
    coppice_ldmatrix(a, keys + Layout::place(lane % 16, 2 * k + lane / 16));
    coppice_ldmatrix(b, keys + Layout::place(lane % 16, 2 * k + 2 + lane / 16));
    coppice_mma(s, a, q[k][0], q[k][1]);
    coppice_mma(other, b, q[k + 1][0], q[k + 1][1]);
  }
  bool moved = false;
  float shrink[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    s[h] = lane / 4 < valid ? (s[h] + other[h]) * scale : -COPPICE_INFINITY;
    s[h + 2] = lane / 4 + 8 < valid ? (s[h + 2] + other[h + 2]) * scale : -COPPICE_INFINITY;
    float top = fmaxf(w.top[h], fmaxf(s[h], s[h + 2]));
#pragma unroll
    for (int d = 4; d < 32; d <<= 1) {
      top = fmaxf(top, __shfl_xor_sync(~0u, top, d));
    }
    shrink[h] = coppice_exp2(w.top[h] - top);
    moved = moved || top != w.top[h];
    w.top[h] = top;
    w.sum[h] *= shrink[h];
  }
  if (__any_sync(~0u, moved)) {
#pragma unroll
    for (int d = 0; d < kSteps; ++d) {
      w.acc[d][0] *= shrink[0];
      w.acc[d][1] *= shrink[1];
      w.acc[d][2] *= shrink[0];
      w.acc[d][3] *= shrink[1];
    }
  }
  coppice_u32 p[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float low = coppice_exp2(s[2 * half] - w.top[0]);
    const float high = coppice_exp2(s[2 * half + 1] - w.top[1]);
    w.sum[0] += low;  // not rounded: the log-sum-exp must be right to 1e-3
    w.sum[1] += high;
    p[half] = coppice_transpose(coppice_pack(low, high));
  }
#pragma unroll
  for (int d = 0; d < kSteps; ++d) {
    coppice_u32 a[4];
    coppice_ldmatrix_t(a, values + Layout::place(lane / 16 * 8 + lane % 8, 2 * d + lane / 8 % 2));
    coppice_mma(w.acc[d], a, p[0], p[1]);
  }
}

// This warp's sum of weights for one of its two heads, in all lanes that have the head.
static __device__ __forceinline__ float all_of(float sum) {
#pragma unroll
  for (int d = 4; d < 32; d <<= 1) {
    sum += __shfl_xor_sync(~0u, sum, d);
  }
  return sum;
}
