// gqa_paged_decode with one fault at a time, chosen by a macro CHEAT_*; with none it is honest. Each
// fault stands in cases.json with the gate and class that must refuse it.
#include "coppice_cuda.cuh"

constexpr int kPer = HEAD_DIM / 32;
#define SLOT_ELEMENTS 102528  // between two slots of the ring for one sequence of 32 heads

#ifdef CHEAT_DEVICE_STATE
__device__ float remembered[1024];
__device__ int calls;
#endif

extern "C" __global__ void partials(coppice_bf16* q, const coppice_bf16* k, const coppice_bf16* v,
                                    const int* indptr, const int* indices, const int* last,
                                    float* partial, float sm_scale) {
  const int lane = threadIdx.x % 32, g = threadIdx.x / 32;
  const int split = blockIdx.x, kv = blockIdx.y, b = blockIdx.z;
  const int pages = indptr[b + 1] - indptr[b];
  int length = pages == 0 ? 0 : (pages - 1) * PAGE_SIZE + last[b];
#ifdef CHEAT_LAST_KEY_LOST
  length = length > 1 ? length - 1 : length;
#endif
#ifdef CHEAT_TAIL_LOST
  length -= length / 10;
#endif
#ifdef CHEAT_HANG
  if (split == 0 && kv == 0 && b == 0) {
    volatile long long turns = 0;
    while (clock64() != 0) {
      turns = turns + 1;
    }
  }
#endif
#ifdef CHEAT_TRAP
  asm volatile("trap;");
#endif
#ifdef CHEAT_FAR_WRITE
  if (threadIdx.x == 0) {
    *reinterpret_cast<volatile int*>(reinterpret_cast<char*>(partial) + (1ll << 44)) = 1;
  }
#endif
#ifdef CHEAT_MISALIGNED
  if (threadIdx.x == 0) {
    *reinterpret_cast<volatile double*>(reinterpret_cast<char*>(partial) + 2) = 1;
  }
#endif
#ifdef CHEAT_SLOW
  const long long start = clock64();
  while (clock64() - start < 4000000) {
  }
#endif
  const int chunk = (length + SPLITS - 1) / SPLITS;
  const int first = split * chunk, end = min(length, first + chunk);
  const int head = (b * KV_HEADS + kv) * GROUP + g;
  float query[kPer], acc[kPer] = {}, top = -COPPICE_INFINITY, sum = 0.0f;
  for (int e = 0; e < kPer; ++e) {
    query[e] = coppice_widen(q[static_cast<long long>(head) * HEAD_DIM + lane * kPer + e]);
  }
  for (int t = first; t < end; ++t) {
    const long long slot = indices[indptr[b] + t / PAGE_SIZE] * PAGE_SIZE + t % PAGE_SIZE;
#ifdef CHEAT_WRONG_HEAD
    const long long at = (slot * KV_HEADS + (kv + 1) % KV_HEADS) * HEAD_DIM + lane * kPer;
#else
    const long long at = (slot * KV_HEADS + kv) * HEAD_DIM + lane * kPer;
#endif
    float s = 0.0f;
    for (int e = 0; e < kPer; ++e) {
      s += query[e] * coppice_widen(k[at + e]);
    }
    for (int d = 16; d > 0; d >>= 1) {
      s += __shfl_xor_sync(~0u, s, d);
    }
#ifdef CHEAT_ROUNDED_LOGITS
    s = coppice_widen(coppice_to_bf16(s));
#endif
    s *= sm_scale * 1.4426950408889634f;
#ifdef CHEAT_SMALL_DROPPED
    if (s < top - 6.0f) {
      continue;
    }
#endif
    const float now = fmaxf(top, s), shrink = exp2f(top - now), p = exp2f(s - now);
    top = now;
    sum = sum * shrink + p;
    for (int e = 0; e < kPer; ++e) {
      acc[e] = acc[e] * shrink + p * coppice_widen(v[at + e]);
    }
  }
  float* record = partial + (static_cast<long long>(head) * SPLITS + split) * (HEAD_DIM + 2);
  for (int e = 0; e < kPer; ++e) {
    record[lane * kPer + e] = acc[e];
  }
  if (lane == 0) {
    record[HEAD_DIM] = top;
    record[HEAD_DIM + 1] = sum;
  }
#ifdef CHEAT_INPUT_CHANGED
  if (head == 0 && lane == 0 && split == 0) {
    q[5] = coppice_to_bf16(1.0f);
  }
#endif
#ifdef CHEAT_WORKSPACE_OVERRUN
  if (head == 0 && lane == 0 && split == 0) {
    partial[-4] = 1.0f;
  }
#endif
}

extern "C" __global__ void combine(const float* partial, coppice_bf16* out, float* lse) {
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
  float result = sum > 0.0f ? value / sum : 0.0f;
  float log_sum = sum > 0.0f ? top + log2f(sum) : -COPPICE_INFINITY;
#ifdef CHEAT_ZEROS
  result = 0.0f;
#endif
#ifdef CHEAT_NAN
  result = blockIdx.x == 3 && threadIdx.x == 77 ? __int_as_float(0x7fc00000) : result;
#endif
#ifdef CHEAT_TOKEN_CACHE
  // The output ring's slot before this one: right only if values never changed.
  result = coppice_widen(out[blockIdx.x * static_cast<long long>(HEAD_DIM) + threadIdx.x - SLOT_ELEMENTS]);
#endif
#ifdef CHEAT_DEVICE_STATE
  result = calls > 0 ? remembered[threadIdx.x] : result;
  remembered[threadIdx.x] = result;
  calls = calls + 1;
#endif
  const long long at = blockIdx.x * static_cast<long long>(HEAD_DIM) + threadIdx.x;
#ifdef CHEAT_ROW_MISSING
  if (blockIdx.x == 1) {
    return;
  }
#endif
  out[at] = coppice_to_bf16(result);
#ifdef CHEAT_WRITE_BEYOND
  if (blockIdx.x == gridDim.x - 1) {
    out[at + HEAD_DIM] = coppice_to_bf16(result);
  }
#endif
#ifdef CHEAT_NATURAL_LOG
  log_sum *= 0.69314718f;
#endif
  if (threadIdx.x == 0) {
    lse[blockIdx.x] = log_sum;
  }
}
