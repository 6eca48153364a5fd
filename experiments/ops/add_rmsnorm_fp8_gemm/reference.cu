// Trusted device reference of add_rmsnorm_fp8_gemm: each rounding decided in f64, f64 sums, results
// as unrounded f32.
#include "coppice_cuda.cuh"

constexpr int kTile = 64, kDepth = 16;

// x as e4m3 (nearest, ties to even), widened; |x| is at most 448. A quotient 448 s w / max|s w| that
// is no tie is far from one in f64, and a tie is exact there.
static __device__ double round_e4m3(double x) {
  if (x == 0.0) {
    return 0.0;
  }
  const int exponent = max(ilogb(x), -6);
  return ldexp(rint(ldexp(x, 3 - exponent)), exponent - 3);
}

static __device__ double updated(const coppice_bf16* x, const coppice_bf16* residual, long long at) {
  return coppice_widen(coppice_to_bf16(coppice_widen(x[at]) + coppice_widen(residual[at])));
}

extern "C" __global__ void __launch_bounds__(256)
    quantise(const coppice_bf16* x, const coppice_bf16* residual, const coppice_bf16* weight, float* residual_out,
             float* activations, double* scales, long long hidden, float eps) {
  __shared__ double sums[256], tops[256];
  const long long from = blockIdx.x * hidden;
  double squares = 0, top = 0;
  for (long long i = threadIdx.x; i < hidden; i += blockDim.x) {
    const double s = updated(x, residual, from + i);
    residual_out[from + i] = static_cast<float>(s);
    squares += s * s;
    top = fmax(top, fabs(s * coppice_widen(weight[i])));
  }
  sums[threadIdx.x] = squares;
  tops[threadIdx.x] = top;
  __syncthreads();
  for (int n = blockDim.x / 2; n > 0; n >>= 1) {
    if (threadIdx.x < n) {
      sums[threadIdx.x] += sums[threadIdx.x + n];
      tops[threadIdx.x] = fmax(tops[threadIdx.x], tops[threadIdx.x + n]);
    }
    __syncthreads();
  }
  top = tops[0];
  for (long long i = threadIdx.x; i < hidden; i += blockDim.x) {
    const double product = updated(x, residual, from + i) * coppice_widen(weight[i]);
    activations[from + i] = top > 0 ? static_cast<float>(round_e4m3(448.0 * product / top)) : 0.0f;
  }
  if (threadIdx.x == 0) {
    scales[blockIdx.x] = top / sqrt(sums[0] / hidden + eps) / 448.0;
  }
}

// 64 rows of 16 elements, transposed; zeros beyond the end.
template <class Widened>
static __device__ void load(float (&to)[kDepth][kTile + 1], long long first, long long rows, long long begin,
                            long long depth, Widened widened) {
  for (int i = threadIdx.x; i < kTile * kDepth; i += blockDim.x) {
    const long long row = first + i / kDepth, d = begin + i % kDepth;
    to[i % kDepth][i / kDepth] = row < rows && d < depth ? widened(row * depth + d) : 0.0f;
  }
}

extern "C" __global__ void __launch_bounds__(256)
    multiply(const float* activations, const double* scales, const unsigned char* weight, const float* weight_scale,
             float* out, long long rows, long long columns, long long hidden) {
  __shared__ float left[kDepth][kTile + 1], right[kDepth][kTile + 1];
  const long long row = blockIdx.y * static_cast<long long>(kTile);
  const long long column = blockIdx.x * static_cast<long long>(kTile);
  const int x = threadIdx.x % 16, y = threadIdx.x / 16;
  double sum[4][4] = {};
  for (long long begin = 0; begin < hidden; begin += kDepth) {
    load(left, row, rows, begin, hidden, [&](long long at) { return activations[at]; });
    load(right, column, columns, begin, hidden, [&](long long at) { return coppice_widen_e4m3(weight[at]); });
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
      const long long r = row + y + 16 * i, c = column + x + 16 * j;
      if (r < rows && c < columns) {
        out[r * columns + c] = static_cast<float>(sum[i][j] * scales[r] * weight_scale[c]);
      }
    }
  }
}
