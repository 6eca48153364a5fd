// A norm that is right, and reads one element beyond the end of x: no result shows it, only a tool
// that watches each access does.
#include "coppice_cuda.cuh"

#ifdef T_BF16
using Element = coppice_bf16;
#else
using Element = float;
#endif

extern "C" __global__ void __launch_bounds__(256)
    normalise(const Element* x, const Element* residual, const Element* weight, Element* out,
              long long hidden, float eps) {
  __shared__ float sums[8];
  const int width = static_cast<int>(hidden);
  x += blockIdx.x * hidden;
  residual += blockIdx.x * hidden;
  out += blockIdx.x * hidden;
  const bool last = blockIdx.x == gridDim.x - 1 && threadIdx.x == 0;
  const bool beyond = last && coppice_widen(x[hidden]) == 12345.0f;
  float squares = beyond ? 1.0f : 0.0f;
  for (int i = threadIdx.x; i < width; i += 256) {
    const float y = coppice_widen(x[i]) + coppice_widen(residual[i]);
    squares += y * y;
  }
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    squares += __shfl_xor_sync(~0u, squares, d);
  }
  if (threadIdx.x % 32 == 0) {
    sums[threadIdx.x / 32] = squares;
  }
  __syncthreads();
  squares = 0.0f;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    squares += sums[i];
  }
  const float scale = rsqrtf(squares / static_cast<float>(width) + eps);
  for (int i = threadIdx.x; i < width; i += 256) {
    const float y = (coppice_widen(x[i]) + coppice_widen(residual[i])) * scale * coppice_widen(weight[i]);
#ifdef T_BF16
    out[i] = coppice_to_bf16(y);
#else
    out[i] = y;
#endif
  }
}
