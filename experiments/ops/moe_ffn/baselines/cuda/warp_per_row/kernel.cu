// The plain MoE that one writes first: a warp a row and token, 16-byte loads, no tensor cores; each
// token reads its experts' weights again. Trusted; frozen.
#include "coppice_cuda.cuh"

#if !defined(T_BF16) || !defined(W_BF16)
#error "bf16 only"
#endif

static __device__ __forceinline__ float over_lanes(float x) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    x += __shfl_xor_sync(~0u, x, d);
  }
  return x;
}
static __device__ __forceinline__ float dot8(const uint4& a, const uint4& b) {
  return coppice_low(a.x) * coppice_low(b.x) + coppice_high(a.x) * coppice_high(b.x) +
         coppice_low(a.y) * coppice_low(b.y) + coppice_high(a.y) * coppice_high(b.y) +
         coppice_low(a.z) * coppice_low(b.z) + coppice_high(a.z) * coppice_high(b.z) +
         coppice_low(a.w) * coppice_low(b.w) + coppice_high(a.w) * coppice_high(b.w);
}

extern "C" __global__ void gate_up(const uint4* x, const uint4* w, const int* ids, coppice_bf16* inner) {
  const int lane = threadIdx.x % 32, slot = blockIdx.y;
  const int i = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  constexpr int kWords = HIDDEN / 8;
  const uint4* row = x + static_cast<long long>(slot / TOP_K) * kWords;
  const uint4* gate = w + (static_cast<long long>(ids[slot]) * 2 * INTER + i) * kWords;
  const uint4* up = gate + static_cast<long long>(INTER) * kWords;
  float g = 0.0f, u = 0.0f;
#pragma unroll 4
  for (int d = lane; d < kWords; d += 32) {
    const uint4 value = row[d];
    g += dot8(value, gate[d]);
    u += dot8(value, up[d]);
  }
  g = over_lanes(g);
  u = over_lanes(u);
  if (lane == 0) {
    inner[static_cast<long long>(slot) * INTER + i] = coppice_to_bf16(g / (1.0f + expf(-g)) * u);
  }
}

extern "C" __global__ void down(const uint4* inner, const uint4* w, const int* ids,
                                const float* routing, coppice_bf16* out) {
  const int lane = threadIdx.x % 32, token = blockIdx.y;
  const int d = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  constexpr int kWords = INTER / 8;
  float sum = 0.0f;
  for (int j = 0; j < TOP_K; ++j) {
    const int slot = token * TOP_K + j;
    const uint4* row = w + (static_cast<long long>(ids[slot]) * HIDDEN + d) * kWords;
    const uint4* mine = inner + static_cast<long long>(slot) * kWords;
    float part = 0.0f;
#pragma unroll 4
    for (int i = lane; i < kWords; i += 32) {
      part += dot8(mine[i], row[i]);
    }
    sum += routing[slot] * part;
  }
  sum = over_lanes(sum);
  if (lane == 0) {
    out[static_cast<long long>(token) * HIDDEN + d] = coppice_to_bf16(sum);
  }
}
