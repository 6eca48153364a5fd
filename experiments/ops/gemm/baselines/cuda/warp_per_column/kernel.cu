// The plain product that one writes first: a warp an output column and eight rows, 16-byte loads, no
// tensor cores; each eight rows read the weights again. Trusted; frozen.
#include "coppice_cuda.cuh"

#ifndef T_BF16
#error "bf16 only"
#endif

constexpr int kRows = 8;

static __device__ __forceinline__ float dot8(const uint4& a, const uint4& b) {
  return coppice_low(a.x) * coppice_low(b.x) + coppice_high(a.x) * coppice_high(b.x) +
         coppice_low(a.y) * coppice_low(b.y) + coppice_high(a.y) * coppice_high(b.y) +
         coppice_low(a.z) * coppice_low(b.z) + coppice_high(a.z) * coppice_high(b.z) +
         coppice_low(a.w) * coppice_low(b.w) + coppice_high(a.w) * coppice_high(b.w);
}

extern "C" __global__ void __launch_bounds__(256)
    product(const uint4* a, const uint4* b, coppice_bf16* c, long long m, long long n, long long k) {
  const int lane = threadIdx.x % 32;
  const long long column = blockIdx.x * 8ll + threadIdx.x / 32, row = blockIdx.y * static_cast<long long>(kRows);
  if (column >= n) {
    return;
  }
  const int words = static_cast<int>(k / 8);
  float sum[kRows] = {};
#pragma unroll 2
  for (int d = lane; d < words; d += 32) {
    const uint4 weight = b[column * words + d];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      sum[r] += dot8(weight, a[min(row + r, m - 1) * words + d]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) {
      sum[r] += __shfl_xor_sync(~0u, sum[r], d);
    }
    if (lane == 0 && row + r < m) {
      c[(row + r) * n + column] = coppice_to_bf16(sum[r]);
    }
  }
}
