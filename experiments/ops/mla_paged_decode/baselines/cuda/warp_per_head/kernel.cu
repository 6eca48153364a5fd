// The plain kernel that one writes first: a warp a query head, sixteen heads a block so that a row
// fetched for one is in the first-level cache for the others; lanes over the row, fused multiply-adds,
// sixteen splits and a combine step. Trusted; frozen.
#include "coppice_cuda.cuh"

#ifdef T_BF16
using Element = coppice_bf16;
#else
using Element = float;
#endif
constexpr int kSplits = 16;
constexpr int kRecord = LATENT + 2;
constexpr int kPairs = (LATENT + ROPE) / 64;  // of neighbouring elements, a lane

static __device__ __forceinline__ float2 load_pair(const Element* from) {
#ifdef T_BF16
  const coppice_u32 pair = *reinterpret_cast<const coppice_u32*>(from);
  return make_float2(coppice_low(pair), coppice_high(pair));
#else
  return *reinterpret_cast<const float2*>(from);
#endif
}

extern "C" __global__ void __launch_bounds__(512)
    partials(const Element* nope, const Element* rope, const Element* cache, const int* indptr,
             const int* indices, const int* last, float* partial, float sm_scale, long long heads,
             long long page_size) {
  const int lane = threadIdx.x % 32, b = blockIdx.z;
  const long long head = b * heads + blockIdx.y * 16 + threadIdx.x / 32;
  const int page = static_cast<int>(page_size), pages = indptr[b + 1] - indptr[b];
  const int length = pages == 0 ? 0 : (pages - 1) * page + last[b];
  const int chunk = (length + kSplits - 1) / kSplits;
  const int end = min(length, (static_cast<int>(blockIdx.x) + 1) * chunk);
  float2 query[kPairs], acc[kPairs] = {};
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int d = (i * 32 + lane) * 2;
    query[i] = load_pair(d < LATENT ? nope + head * LATENT + d : rope + head * ROPE + d - LATENT);
  }
  float top = -COPPICE_INFINITY, sum = 0.0f;
  for (int t = blockIdx.x * chunk; t < end; ++t) {
    const long long slot = indices[indptr[b] + t / page] * page_size + t % page;
    float2 row[kPairs];
    float score = 0.0f;
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      row[i] = load_pair(cache + slot * (LATENT + ROPE) + (i * 32 + lane) * 2);
      score += row[i].x * query[i].x + row[i].y * query[i].y;
    }
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) {
      score += __shfl_xor_sync(~0u, score, d);
    }
    score *= sm_scale * 1.4426950408889634f;
    const float now = fmaxf(top, score);
    const float shrink = exp2f(top - now), weight = exp2f(score - now);
    top = now;
    sum = sum * shrink + weight;
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {  // the last pairs are of the rotary part: never stored
      acc[i].x = acc[i].x * shrink + weight * row[i].x;
      acc[i].y = acc[i].y * shrink + weight * row[i].y;
    }
  }
  float* record = partial + (head * kSplits + blockIdx.x) * kRecord;
#pragma unroll
  for (int i = 0; i < LATENT / 64; ++i) {
    *reinterpret_cast<float2*>(record + (i * 32 + lane) * 2) = acc[i];
  }
  if (lane == 0) {
    record[LATENT] = top;
    record[LATENT + 1] = sum;
  }
}

extern "C" __global__ void combine(const float* partial, Element* out, float* lse) {
  const float* records = partial + blockIdx.x * static_cast<long long>(kSplits * kRecord);
  float top = -COPPICE_INFINITY, sum = 0.0f;
  for (int i = 0; i < kSplits; ++i) {
    top = fmaxf(top, records[i * kRecord + LATENT]);
  }
  float2 value = make_float2(0.0f, 0.0f);
  for (int i = 0; i < kSplits; ++i) {
    const float* record = records + i * kRecord;
    const float weight = record[LATENT] == -COPPICE_INFINITY ? 0.0f : exp2f(record[LATENT] - top);
    sum += weight * record[LATENT + 1];
    value.x += weight * record[2 * threadIdx.x];
    value.y += weight * record[2 * threadIdx.x + 1];
  }
  const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
  const long long at = blockIdx.x * static_cast<long long>(LATENT) + 2 * threadIdx.x;
#ifdef T_BF16
  *reinterpret_cast<coppice_u32*>(out + at) = coppice_pack(value.x * inverse, value.y * inverse);
#else
  *reinterpret_cast<float2*>(out + at) = make_float2(value.x * inverse, value.y * inverse);
#endif
  if (threadIdx.x == 0) {
    lse[blockIdx.x] = sum > 0.0f ? top + log2f(sum) : -COPPICE_INFINITY;
  }
}
