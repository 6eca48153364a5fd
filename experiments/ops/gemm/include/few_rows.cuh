// What the few-rows templates for CUDA share: pieces of registers, pairs of results, sums of splits.
#pragma once

#include "coppice_hopper.cuh"

static __device__ __forceinline__ coppice_u32 word(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// Two neighbours of a result row; nothing beyond the row's `n` elements. `row` and `n` are even.
static __device__ __forceinline__ void store_pair(char* out, long long column, int row, int n, float2 sum) {
  if (row < n) {
    *reinterpret_cast<coppice_u32*>(out + (column * n + row) * 2) = coppice_pack(sum.x, sum.y);
  }
}

// One thread's pair of the result, from as many partial results as the inner dimension has splits.
template <int kSplit>
static __device__ __forceinline__ void add_splits(const float* partial, char* out, long long pairs) {
  const long long i = blockIdx.x * 128ll + threadIdx.x;
  if (i < pairs) {
    float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int s = 0; s < kSplit; ++s) {
      const float2 one = __ldcg(reinterpret_cast<const float2*>(partial) + s * pairs + i);
      sum.x += one.x;
      sum.y += one.y;
    }
    reinterpret_cast<coppice_u32*>(out)[i] = coppice_pack(sum.x, sum.y);
  }
}
