// The plain block-scaled MoE that one writes first: a warp chooses a token's experts, a warp computes a
// row for a slot, 16-byte loads, no tensor cores; each token reads its experts' weights again. Trusted;
// frozen.
#include "coppice_cuda.cuh"

constexpr int kPer = EXPERTS / 32;  // experts of a lane

static __device__ __forceinline__ float over_lanes(float x) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    x += __shfl_xor_sync(~0u, x, d);
  }
  return x;
}

// The lane's best of `values`, then the warp's; ties go to the lower expert.
static __device__ __forceinline__ int best_expert(const float (&values)[kPer], int lane) {
  float most = values[0];
  int expert = lane;
#pragma unroll
  for (int i = 1; i < kPer; ++i) {
    expert = values[i] > most ? i * 32 + lane : expert;
    most = fmaxf(most, values[i]);
  }
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    const float theirs = __shfl_xor_sync(~0u, most, d);
    const int their_expert = __shfl_xor_sync(~0u, expert, d);
    if (theirs > most || (theirs == most && their_expert < expert)) {
      most = theirs;
      expert = their_expert;
    }
  }
  return expert;
}

extern "C" __global__ void choose(const float* logits, const coppice_bf16* bias, int* chosen, float* weights,
                                  float factor) {
  constexpr float kOut = -3e38f;
  __shared__ float biased[EXPERTS], score[EXPERTS], group[GROUPS];
  const int lane = threadIdx.x, token = blockIdx.x;
  for (int e = lane; e < EXPERTS; e += 32) {
    score[e] = 1.0f / (1.0f + expf(-logits[token * EXPERTS + e]));
    biased[e] = score[e] + coppice_widen(bias[e]);
  }
  __syncwarp();
  for (int g = lane; g < GROUPS; g += 32) {
    float top = kOut, next = kOut;
    for (int e = g * (EXPERTS / GROUPS); e < (g + 1) * (EXPERTS / GROUPS); ++e) {
      next = fmaxf(next, fminf(top, biased[e]));
      top = fmaxf(top, biased[e]);
    }
    group[g] = top + next;
  }
  __syncwarp();
  if (lane == 0) {
    for (int i = 0; i < KEPT_GROUPS; ++i) {
      int best = 0;
      for (int g = 1; g < GROUPS; ++g) {
        best = group[g] > group[best] ? g : best;
      }
      group[best] = kOut;
    }
  }
  __syncwarp();
  float values[kPer];
  for (int i = 0; i < kPer; ++i) {
    const int e = i * 32 + lane;
    values[i] = group[e / (EXPERTS / GROUPS)] == kOut ? biased[e] : kOut;
  }
  float sum = 1e-20f;
  int mine = 0;
  for (int j = 0; j < TOP_K; ++j) {
    const int expert = best_expert(values, lane);
    for (int i = 0; i < kPer; ++i) {
      values[i] = i * 32 + lane == expert ? kOut : values[i];
    }
    sum += score[expert];
    mine = lane == j ? expert : mine;
  }
  if (lane < TOP_K) {
    const int local = mine - FIRST_EXPERT;
    chosen[token * TOP_K + lane] = local >= 0 && local < LOCAL_EXPERTS ? local : -1;
    weights[token * TOP_K + lane] = score[mine] / sum * factor;
  }
}

static __device__ __forceinline__ float dot4(coppice_u32 w, const float* x) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    sum += coppice_widen_e4m3(static_cast<unsigned char>(w >> (8 * i))) * x[i];
  }
  return sum;
}
static __device__ __forceinline__ float dot16(const uint4& w, const float* x) {
  return dot4(w.x, x) + dot4(w.y, x + 4) + dot4(w.z, x + 8) + dot4(w.w, x + 12);
}

extern "C" __global__ void gate_up(const unsigned char* states, const float* state_scales, const unsigned char* weights,
                                   const float* weight_scales, const int* chosen, float* inner) {
  const int lane = threadIdx.x % 32, slot = blockIdx.y, token = slot / TOP_K, expert = chosen[slot];
  const int i = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (expert < 0) {
    return;
  }
  const long long row = static_cast<long long>(expert) * 2 * INTER + i;
  const unsigned char *first = weights + row * HIDDEN, *second = first + static_cast<long long>(INTER) * HIDDEN;
  const float* first_scale = weight_scales + row / 128 * (HIDDEN / 128);
  const float* second_scale = first_scale + INTER / 128 * (HIDDEN / 128);
  float a = 0.0f, b = 0.0f;
  for (int d = lane * 16; d < HIDDEN; d += 512) {
    float x[16];
    for (int j = 0; j < 16; ++j) {
      x[j] = coppice_widen_e4m3(states[static_cast<long long>(token) * HIDDEN + d + j]);
    }
    const float scale = state_scales[d / 128 * TOKENS + token];
    a += dot16(*reinterpret_cast<const uint4*>(first + d), x) * (scale * first_scale[d / 128]);
    b += dot16(*reinterpret_cast<const uint4*>(second + d), x) * (scale * second_scale[d / 128]);
  }
  a = over_lanes(a);
  b = over_lanes(b);
  if (lane == 0) {
    inner[static_cast<long long>(slot) * INTER + i] = a * b / (1.0f + expf(-b));
  }
}

extern "C" __global__ void down(const float* inner, const unsigned char* weights, const float* weight_scales, const int* chosen,
                                const float* routing, coppice_bf16* out) {
  const int lane = threadIdx.x % 32, token = blockIdx.y;
  const int d = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  float sum = 0.0f;
  for (int slot = token * TOP_K; slot < (token + 1) * TOP_K; ++slot) {
    const int expert = chosen[slot];
    if (expert < 0) {
      continue;
    }
    const long long row = static_cast<long long>(expert) * HIDDEN + d;
    float part = 0.0f;
    for (int i = lane * 16; i < INTER; i += 512) {
      part += dot16(*reinterpret_cast<const uint4*>(weights + row * INTER + i), inner + static_cast<long long>(slot) * INTER + i) *
              weight_scales[row / 128 * (INTER / 128) + i / 128];
    }
    sum += routing[slot] * part;
  }
  sum = over_lanes(sum);
  if (lane == 0) {
    out[static_cast<long long>(token) * HIDDEN + d] = coppice_to_bf16(sum);
  }
}
