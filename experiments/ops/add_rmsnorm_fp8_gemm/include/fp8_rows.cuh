// What the CUDA templates of add_rmsnorm_fp8_gemm share: a group of warps adds, norms and quantises a
// row that stays in registers. As the norm falls out of y / scale = 448 s w / max|s w|, a row is
// quantised as soon as its largest product is known, and a true division makes it exact.
#pragma once

#include "coppice_hopper.cuh"

constexpr int kGroupThreads = 32 * NORM_WARPS;
constexpr int kPieces = (HIDDEN + 8 * kGroupThreads - 1) / (8 * kGroupThreads);  // of 8 elements, a thread's

struct RowInput {
  const uint4 *x, *residual, *weight;
  uint4* updated;  // null: another block writes it
  float eps;
};

static __device__ __forceinline__ coppice_u32 fp8_word(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}
// Four floats as e4m3 (nearest, ties to even, saturating), the first in the lowest byte.
static __device__ __forceinline__ coppice_u32 quantise4(float a, float b, float c, float d) {
  coppice_u16 low, high;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(low) : "f"(b), "f"(a));
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(high) : "f"(d), "f"(c));
  return static_cast<coppice_u32>(high) << 16 | low;
}
static __device__ __forceinline__ float quotient(float product, float factor, float divisor) {
#ifdef DIVIDE_RECIPROCAL
  return product * factor;
#else
  return __fdiv_rn(product * 448.0f, divisor);
#endif
}

// Sum and maximum over the group, known to all of it. `meet` is a barrier of the group, `at` shared
// memory of 2 * NORM_WARPS floats that is its own.
template <class Meet>
static __device__ __forceinline__ void over_group(float& sum, float& top, float* at, int thread, Meet meet) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    sum += __shfl_xor_sync(~0u, sum, d);
    top = fmaxf(top, __shfl_xor_sync(~0u, top, d));
  }
  if (NORM_WARPS > 1) {
    if (thread % 32 == 0) {
      at[2 * (thread / 32)] = sum;
      at[2 * (thread / 32) + 1] = top;
    }
    meet();
    sum = 0.0f;
#pragma unroll
    for (int i = 0; i < NORM_WARPS; ++i) {
      sum += at[2 * i];
      top = fmaxf(top, at[2 * i + 1]);
    }
    meet();  // the next row may overwrite them
  }
}

// One row: put(element, eight e4m3 bytes) is called for each 8 elements; returns the row's scale.
template <class Meet, class Put>
static __device__ __forceinline__ float quantise_row(const RowInput& row, float* at, int thread, Meet meet, Put put) {
  uint4 sums[kPieces];
  float squares = 0.0f, top = 0.0f;
#pragma unroll
  for (int p = 0; p < kPieces; ++p) {
    const int piece = p * kGroupThreads + thread;
    sums[p] = make_uint4(0, 0, 0, 0);
    if (piece < HIDDEN / 8) {
      const uint4 x = __ldg(row.x + piece), r = __ldg(row.residual + piece);
      coppice_u32 s[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const coppice_u32 a = fp8_word(x, i), b = fp8_word(r, i);
        s[i] = coppice_pack(coppice_low(a) + coppice_low(b), coppice_high(a) + coppice_high(b));
      }
      sums[p] = make_uint4(s[0], s[1], s[2], s[3]);
    }
  }
#pragma unroll
  for (int p = 0; p < kPieces; ++p) {
    const int piece = p * kGroupThreads + thread;
    if (piece < HIDDEN / 8) {
      const uint4 w = __ldg(row.weight + piece);
      if (row.updated != nullptr) {
        row.updated[piece] = sums[p];
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const coppice_u32 s = fp8_word(sums[p], i), scale = fp8_word(w, i);
        squares += coppice_low(s) * coppice_low(s) + coppice_high(s) * coppice_high(s);
        top = fmaxf(top, fmaxf(fabsf(coppice_low(s) * coppice_low(scale)), fabsf(coppice_high(s) * coppice_high(scale))));
      }
    }
  }
  over_group(squares, top, at, thread, meet);
  const float divisor = top > 0.0f ? top : 1.0f, factor = 448.0f / divisor;
#pragma unroll
  for (int p = 0; p < kPieces; ++p) {
    const int piece = p * kGroupThreads + thread;
    if (piece < HIDDEN / 8) {
      const uint4 w = __ldg(row.weight + piece);
      coppice_u32 q[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const coppice_u32 s0 = fp8_word(sums[p], 2 * i), s1 = fp8_word(sums[p], 2 * i + 1);
        const coppice_u32 w0 = fp8_word(w, 2 * i), w1 = fp8_word(w, 2 * i + 1);
        q[i] = quantise4(quotient(coppice_low(s0) * coppice_low(w0), factor, divisor),
                         quotient(coppice_high(s0) * coppice_high(w0), factor, divisor),
                         quotient(coppice_low(s1) * coppice_low(w1), factor, divisor),
                         quotient(coppice_high(s1) * coppice_high(w1), factor, divisor));
      }
      put(piece * 8, make_uint2(q[0], q[1]));
    }
  }
  return top * (1.0f / sqrtf(squares * (1.0f / HIDDEN) + row.eps)) * (1.0f / 448.0f);
}
