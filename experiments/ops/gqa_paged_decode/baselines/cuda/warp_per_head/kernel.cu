// The plain decode kernel that one writes first: a warp a query head, lanes over the head dimension,
// vector loads and fused multiply-adds, eight splits and a combine step. Trusted; frozen.
#include "coppice_cuda.cuh"

#ifdef T_BF16
using Element = coppice_bf16;
#else
using Element = float;
#endif
constexpr int kPer = HEAD_DIM / 32;

static __device__ __forceinline__ void load(float (&x)[kPer], const Element* from) {
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    x[i] = coppice_widen(from[i]);
  }
}

extern "C" __global__ void partials(const Element* q, const Element* k, const Element* v,
                                    const int* indptr, const int* indices, const int* last,
                                    float* partial, float sm_scale) {
  const int lane = threadIdx.x % 32, g = threadIdx.x / 32;
  const int split = blockIdx.x, kv = blockIdx.y, b = blockIdx.z;
  const int pages = indptr[b + 1] - indptr[b];
  const int length = pages == 0 ? 0 : (pages - 1) * PAGE_SIZE + last[b];
  const int chunk = (length + SPLITS - 1) / SPLITS;
  const int first = split * chunk, end = min(length, first + chunk);
  const int head = (b * KV_HEADS + kv) * GROUP + g;
  float query[kPer], acc[kPer] = {}, top = -COPPICE_INFINITY, sum = 0.0f;
  load(query, q + static_cast<long long>(head) * HEAD_DIM + lane * kPer);
  constexpr int kBatch = 8;  // keys in flight
  for (int t = first; t < end; t += kBatch) {
    float key[kBatch][kPer], value[kBatch][kPer], s[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int token = min(t + i, end - 1);
      const long long slot = indices[indptr[b] + token / PAGE_SIZE] * PAGE_SIZE + token % PAGE_SIZE;
      const long long at = (slot * KV_HEADS + kv) * HEAD_DIM + lane * kPer;
      load(key[i], k + at);
      load(value[i], v + at);
    }
    float now = top;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      s[i] = 0.0f;
#pragma unroll
      for (int e = 0; e < kPer; ++e) {
        s[i] += query[e] * key[i][e];
      }
#pragma unroll
      for (int d = 16; d > 0; d >>= 1) {
        s[i] += __shfl_xor_sync(~0u, s[i], d);
      }
      s[i] = t + i < end ? s[i] * sm_scale * 1.4426950408889634f : -COPPICE_INFINITY;
      now = fmaxf(now, s[i]);
    }
    const float shrink = exp2f(top - now);
    top = now;
    sum *= shrink;
#pragma unroll
    for (int e = 0; e < kPer; ++e) {
      acc[e] *= shrink;
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const float p = exp2f(s[i] - top);
      sum += p;
#pragma unroll
      for (int e = 0; e < kPer; ++e) {
        acc[e] += p * value[i][e];
      }
    }
  }
  float* record = partial + (static_cast<long long>(head) * SPLITS + split) * (HEAD_DIM + 2);
#pragma unroll
  for (int e = 0; e < kPer; ++e) {
    record[lane * kPer + e] = acc[e];
  }
  if (lane == 0) {
    record[HEAD_DIM] = top;
    record[HEAD_DIM + 1] = sum;
  }
}

extern "C" __global__ void combine(const float* partial, Element* out, float* lse) {
  const float* record = partial + static_cast<long long>(blockIdx.x) * SPLITS * (HEAD_DIM + 2);
  float top = -COPPICE_INFINITY, sum = 0.0f, value = 0.0f;
  for (int i = 0; i < SPLITS; ++i) {
    top = fmaxf(top, record[i * (HEAD_DIM + 2) + HEAD_DIM]);
  }
  for (int i = 0; i < SPLITS; ++i) {
    const float mine = record[i * (HEAD_DIM + 2) + HEAD_DIM];
    const float weight = mine == -COPPICE_INFINITY ? 0.0f : exp2f(mine - top);
    sum += weight * record[i * (HEAD_DIM + 2) + HEAD_DIM + 1];
    value += weight * record[i * (HEAD_DIM + 2) + threadIdx.x];
  }
  const float result = sum > 0.0f ? value / sum : 0.0f;
#ifdef T_BF16
  out[blockIdx.x * static_cast<long long>(HEAD_DIM) + threadIdx.x] = coppice_to_bf16(result);
#else
  out[blockIdx.x * static_cast<long long>(HEAD_DIM) + threadIdx.x] = result;
#endif
  if (threadIdx.x == 0) {
    lse[blockIdx.x] = sum > 0.0f ? top + log2f(sum) : -COPPICE_INFINITY;
  }
}
