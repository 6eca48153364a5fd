// What the CUDA templates of latent decode share: how the splits of a sequence become one result.
// LATENT, COMBINE_* and PDL are the template's axes and defines.
#pragma once

#include "coppice_hopper.cuh"

[[maybe_unused]] constexpr int kRecordPitch = LATENT + 4;  // floats of a head's record in shared memory

static __device__ __forceinline__ float weight_of(float top, float all) {
  return top == -COPPICE_INFINITY ? 0.0f : coppice_exp2(top - all);
}
static __device__ __forceinline__ float log_sum(float top, float sum) {
  return sum > 0.0f ? top + log2f(sum) : -COPPICE_INFINITY;
}

struct Merged {
  float v[4], top, sum;
};

// Four columns of one head from the splits' records in global memory: splits first, first + kStep, ...
// The sum and the maximum are over all splits. A warp has one head; splits <= 64.
template <int kStep>
static __device__ __forceinline__ Merged gather(const float* partial, const float* stats, int splits,
                                                int first, long long head, int d) {
  constexpr int kBatch = 8;  // records in flight
  const float* records = partial + head * splits * LATENT + d;
  const float* mine = stats + head * splits * 2;
  const int lane = threadIdx.x % 32;
  float4 x[kBatch];
  const auto fetch = [&](int base) {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (base + i * kStep < splits) {
        x[i] = coppice_load_coherent4(records + (base + i * kStep) * LATENT);
      }
    }
  };
  fetch(first);
  float tops[2], weights[2];
  Merged out = {{}, -COPPICE_INFINITY, 0.0f};
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const bool used = lane + 32 * j < splits;
    tops[j] = used ? coppice_load_coherent(mine + 2 * (lane + 32 * j)) : -COPPICE_INFINITY;
    weights[j] = used ? coppice_load_coherent(mine + 2 * (lane + 32 * j) + 1) : 0.0f;  // the sums, first
    out.top = fmaxf(out.top, tops[j]);
  }
#pragma unroll
  for (int i = 16; i > 0; i >>= 1) {
    out.top = fmaxf(out.top, __shfl_xor_sync(~0u, out.top, i));
  }
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const float weight = weight_of(tops[j], out.top);
    out.sum += weight * weights[j];
    weights[j] = weight;
  }
#pragma unroll
  for (int i = 16; i > 0; i >>= 1) {
    out.sum += __shfl_xor_sync(~0u, out.sum, i);
  }
  for (int base = first; base < splits; base += kBatch * kStep) {
    if (base > first) {
      fetch(base);
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int s = base + i * kStep;
      const float weight = __shfl_sync(~0u, s < 32 ? weights[0] : weights[1], s % 32);
      if (s < splits) {
        out.v[0] += weight * x[i].x;
        out.v[1] += weight * x[i].y;
        out.v[2] += weight * x[i].z;
        out.v[3] += weight * x[i].w;
      }
    }
  }
  return out;
}

static __device__ __forceinline__ void store_merged(const Merged& m, coppice_bf16* out, float* lse,
                                                    long long head, int d) {
  const float inverse = m.sum > 0.0f ? 1.0f / m.sum : 0.0f;
  *reinterpret_cast<uint2*>(out + head * LATENT + d) =
      make_uint2(coppice_pack(m.v[0] * inverse, m.v[1] * inverse), coppice_pack(m.v[2] * inverse, m.v[3] * inverse));
  if (d == 0) {
    lse[head] = log_sum(m.top, m.sum);
  }
}

#if defined(COMBINE_CLUSTER) && __CUDA_ARCH__ >= 900
// Each block of the cluster finishes its share of the heads' columns, reading the other blocks'
// records where they lie.
template <int kHeads>
static __device__ __forceinline__ void merge_cluster(const float* values, const float* stats, int thread,
                                                     int threads, coppice_bf16* out, float* lse,
                                                     long long first_head) {
  const int split = blockIdx.x, splits = gridDim.x;
  coppice_cluster_sync();
  const coppice_u32 own_values = coppice_shared(values), own_stats = coppice_shared(stats);
  constexpr int kItems = kHeads * LATENT / 4;
  for (int i = split * threads + thread; i < kItems; i += splits * threads) {
    const int row = i / (LATENT / 4), d = i % (LATENT / 4) * 4;
    Merged m = {{}, -COPPICE_INFINITY, 0.0f};
    for (int s = 0; s < splits; ++s) {
      m.top = fmaxf(m.top, coppice_load_cluster(coppice_map_shared(own_stats + row * 8, s)));
    }
#pragma unroll 4
    for (int s = 0; s < splits; ++s) {
      const coppice_u32 stat = coppice_map_shared(own_stats + row * 8, s);
      const float weight = weight_of(coppice_load_cluster(stat), m.top);
      m.sum += weight * coppice_load_cluster(stat + 4);
      const float4 x =
          coppice_load_cluster4(coppice_map_shared(own_values + (row * kRecordPitch + d) * 4, s));
      m.v[0] += weight * x.x;
      m.v[1] += weight * x.y;
      m.v[2] += weight * x.z;
      m.v[3] += weight * x.w;
    }
    store_merged(m, out, lse, first_head + row, d);
  }
  coppice_cluster_sync();  // nobody leaves while others still read its records
}
#endif

// A block merges one head: four groups of threads share its splits.
static __device__ __forceinline__ void combine_splits(const float* partial, const float* stats, coppice_bf16* out,
                                                      float* lse, long long splits) {
  constexpr int kGroups = 4;
  __shared__ float4 parts[kGroups - 1][LATENT / 4];
  const int group = threadIdx.x / (LATENT / 4), column = threadIdx.x % (LATENT / 4);
#if PDL
  coppice_wait_for_previous();
#endif
  Merged m = gather<kGroups>(partial, stats, static_cast<int>(splits), group, blockIdx.x, column * 4);
  if (group > 0) {
    parts[group - 1][column] = make_float4(m.v[0], m.v[1], m.v[2], m.v[3]);
  }
  __syncthreads();
  if (group == 0) {
#pragma unroll
    for (int i = 0; i < kGroups - 1; ++i) {
      m.v[0] += parts[i][column].x;
      m.v[1] += parts[i][column].y;
      m.v[2] += parts[i][column].z;
      m.v[3] += parts[i][column].w;
    }
    store_merged(m, out, lse, blockIdx.x, column * 4);
  }
}
