// What one writes first: a block adds, norms and quantises a row; then a warp an output column and
// eight rows, 16-byte loads, no tensor cores. Trusted; frozen.
#include "coppice_cuda.cuh"

constexpr int kRows = 8;

// Nearest, ties to even; |x| is at most 448.
static __device__ __forceinline__ unsigned char to_e4m3(float x) {
  const coppice_u32 bits = __float_as_uint(x), sign = bits >> 24 & 0x80u;
  const float size = fabsf(x);
  if (size < 0.015625f) {  // below 2^-6: multiples of 2^-9
    return static_cast<unsigned char>(sign | static_cast<coppice_u32>(rintf(size * 512.0f)));
  }
  const coppice_u32 rounded = (bits & 0x7fffffffu) + 0x7ffffu + (bits >> 20 & 1u);
  return static_cast<unsigned char>(sign | ((rounded >> 20) - (120u << 3)));
}

static __device__ __forceinline__ float updated(const coppice_bf16* x, const coppice_bf16* residual, int i) {
  return coppice_widen(coppice_to_bf16(coppice_widen(x[i]) + coppice_widen(residual[i])));
}

extern "C" __global__ void __launch_bounds__(256)
    normalise(const coppice_bf16* x, const coppice_bf16* residual, const coppice_bf16* weight,
              coppice_bf16* residual_out, unsigned char* activations, float* scales, long long hidden, float eps) {
  __shared__ float sums[8], tops[8];
  const int width = static_cast<int>(hidden);
  x += blockIdx.x * hidden;
  residual += blockIdx.x * hidden;
  residual_out += blockIdx.x * hidden;
  activations += blockIdx.x * hidden;
  float squares = 0.0f, top = 0.0f;
  for (int i = threadIdx.x; i < width; i += 256) {
    const float s = updated(x, residual, i);
    residual_out[i] = coppice_to_bf16(s);
    squares += s * s;
    top = fmaxf(top, fabsf(s * coppice_widen(weight[i])));
  }
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    squares += __shfl_xor_sync(~0u, squares, d);
    top = fmaxf(top, __shfl_xor_sync(~0u, top, d));
  }
  if (threadIdx.x % 32 == 0) {
    sums[threadIdx.x / 32] = squares;
    tops[threadIdx.x / 32] = top;
  }
  __syncthreads();
  squares = 0.0f;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    squares += sums[i];
    top = fmaxf(top, tops[i]);
  }
  const float divisor = top > 0.0f ? top : 1.0f;
  for (int i = threadIdx.x; i < width; i += 256) {
    activations[i] = to_e4m3(__fdiv_rn(updated(x, residual, i) * coppice_widen(weight[i]) * 448.0f, divisor));
  }
  if (threadIdx.x == 0) {
    scales[blockIdx.x] = top * rsqrtf(squares / static_cast<float>(width) + eps) / 448.0f;
  }
}

static __device__ __forceinline__ float dot4(coppice_u32 a, coppice_u32 b) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < 32; i += 8) {
    sum += coppice_widen_e4m3(static_cast<unsigned char>(a >> i)) *
           coppice_widen_e4m3(static_cast<unsigned char>(b >> i));
  }
  return sum;
}

extern "C" __global__ void __launch_bounds__(256)
    product(const uint4* activations, const float* scales, const uint4* weight, const float* weight_scale,
            coppice_bf16* out, long long rows, long long columns, long long hidden) {
  const int lane = threadIdx.x % 32;
  const long long column = blockIdx.x * 8ll + threadIdx.x / 32, row = blockIdx.y * static_cast<long long>(kRows);
  if (column >= columns) {
    return;
  }
  const int words = static_cast<int>(hidden / 16);
  float sum[kRows] = {};
  for (int d = lane; d < words; d += 32) {
    const uint4 w = weight[column * words + d];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (row + r < rows) {
        const uint4 a = activations[(row + r) * words + d];
        sum[r] += dot4(a.x, w.x) + dot4(a.y, w.y) + dot4(a.z, w.z) + dot4(a.w, w.w);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) {
      sum[r] += __shfl_xor_sync(~0u, sum[r], d);
    }
    if (lane == 0 && row + r < rows) {
      out[(row + r) * columns + column] = coppice_to_bf16(sum[r] * scales[row + r] * weight_scale[column]);
    }
  }
}
