// Trusted device reference of gemm: tiles of 64 x 64, f64 sums, the output as unrounded f32.
#include "coppice_cuda.cuh"

#ifdef T_BF16
using Element = coppice_bf16;
#else
using Element = float;
#endif

constexpr int kTile = 64, kDepth = 16;

// 64 rows of 16 elements, transposed; zeros beyond the end.
static __device__ void load(float (&to)[kDepth][kTile + 1], const Element* from, long long first,
                            long long rows, long long begin, long long depth) {
  for (int i = threadIdx.x; i < kTile * kDepth; i += blockDim.x) {
    const long long row = first + i / kDepth, d = begin + i % kDepth;
    to[i % kDepth][i / kDepth] = row < rows && d < depth ? coppice_widen(from[row * depth + d]) : 0.0f;
  }
}

extern "C" __global__ void __launch_bounds__(256)
    reference(const Element* a, const Element* b, float* c, long long m, long long n, long long k) {
  __shared__ float left[kDepth][kTile + 1], right[kDepth][kTile + 1];
  const long long row = blockIdx.y * static_cast<long long>(kTile);
  const long long column = blockIdx.x * static_cast<long long>(kTile);
  const int x = threadIdx.x % 16, y = threadIdx.x / 16;
  double sum[4][4] = {};
  for (long long begin = 0; begin < k; begin += kDepth) {
    load(left, a, row, m, begin, k);
    load(right, b, column, n, begin, k);
    __syncthreads();
    for (int d = 0; d < kDepth; ++d) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          sum[i][j] += static_cast<double>(left[d][y + 16 * i]) * right[d][x + 16 * j];
        }
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const long long r = row + y + 16 * i, q = column + x + 16 * j;
      if (r < m && q < n) {
        c[r * n + q] = static_cast<float>(sum[i][j]);
      }
    }
  }
}
