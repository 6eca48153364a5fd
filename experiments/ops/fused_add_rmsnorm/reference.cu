// Trusted device reference of fused_add_rmsnorm: a block a row, f64 sums, the output as unrounded f32.
#include "coppice_cuda.cuh"

#ifdef T_BF16
using Element = coppice_bf16;
#else
using Element = float;
#endif

extern "C" __global__ void reference(const Element* x, const Element* residual,
                                     const Element* weight, float* out, long long hidden,
                                     float eps) {
  __shared__ double sums[256];
  const long long row = blockIdx.x * hidden;
  double squares = 0;
  for (long long i = threadIdx.x; i < hidden; i += blockDim.x) {
    const double y = static_cast<double>(coppice_widen(x[row + i])) + coppice_widen(residual[row + i]);
    squares += y * y;
  }
  sums[threadIdx.x] = squares;
  __syncthreads();
  for (int n = blockDim.x / 2; n > 0; n >>= 1) {
    if (threadIdx.x < n) {
      sums[threadIdx.x] += sums[threadIdx.x + n];
    }
    __syncthreads();
  }
  const double scale = 1.0 / sqrt(sums[0] / hidden + eps);
  for (long long i = threadIdx.x; i < hidden; i += blockDim.x) {
    const double y = static_cast<double>(coppice_widen(x[row + i])) + coppice_widen(residual[row + i]);
    out[row + i] = static_cast<float>(y * scale * coppice_widen(weight[i]));
  }
}
