// Trusted device reference of moe_ffn: a warp a row, f64 sums, nothing rounded in between; the output
// as unrounded f32.
#include "coppice_cuda.cuh"

#ifdef T_BF16
using Token = coppice_bf16;
#else
using Token = float;
#endif
#ifdef W_BF16
using Weight = coppice_bf16;
#else
using Weight = float;
#endif

static __device__ double over_lanes(double x) {
  for (int d = 16; d > 0; d >>= 1) {
    x += __shfl_xor_sync(~0u, x, d);
  }
  return x;
}

extern "C" __global__ void inner_rows(const Token* x, const Weight* w, const int* ids, double* inner,
                                      long long hidden, long long inter, long long top_k) {
  const int lane = threadIdx.x % 32;
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x / 32) + threadIdx.x / 32;
  const long long slot = blockIdx.y;
  if (i >= inter) {
    return;
  }
  const Token* row = x + slot / top_k * hidden;
  const Weight* gate = w + (ids[slot] * 2 * inter + i) * hidden;
  const Weight* up = gate + inter * hidden;
  double g = 0, u = 0;
  for (long long d = lane; d < hidden; d += 32) {
    const double value = coppice_widen(row[d]);
    g += value * coppice_widen(gate[d]);
    u += value * coppice_widen(up[d]);
  }
  g = over_lanes(g);
  u = over_lanes(u);
  if (lane == 0) {
    inner[slot * inter + i] = g / (1.0 + exp(-g)) * u;
  }
}

extern "C" __global__ void output_rows(const double* inner, const Weight* w, const int* ids,
                                       const float* routing, float* out, long long hidden,
                                       long long inter, long long top_k) {
  const int lane = threadIdx.x % 32;
  const long long d = blockIdx.x * static_cast<long long>(blockDim.x / 32) + threadIdx.x / 32;
  const long long token = blockIdx.y;
  if (d >= hidden) {
    return;
  }
  double sum = 0;
  for (long long j = 0; j < top_k; ++j) {
    const long long slot = token * top_k + j;
    const Weight* row = w + (ids[slot] * hidden + d) * inter;
    double part = 0;
    for (long long i = lane; i < inter; i += 32) {
      part += inner[slot * inter + i] * coppice_widen(row[i]);
    }
    sum += part * routing[slot];
  }
  sum = over_lanes(sum);
  if (lane == 0) {
    out[token * hidden + d] = static_cast<float>(sum);
  }
}
