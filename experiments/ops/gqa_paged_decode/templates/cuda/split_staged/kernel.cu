// Split-KV decode attention: each warp streams its own tiles of keys and values through a private
// ring in shared memory, so the main loop has no block barrier; tensor cores with swapped operands
// (tokens are the 16 rows, the query heads of the group the 8 columns).
#include "coppice_cuda.cuh"

constexpr int kWarps = SLICES * HEADS_PER_BLOCK;
constexpr int kRowBytes = HEAD_DIM * 2;
constexpr int kPitch = kRowBytes + 16;  // rows start in different banks
constexpr int kTileBytes = TILE_KV * kPitch;
constexpr int kStageBytes = 2 * kTileBytes;  // keys, then values
constexpr int kSteps = HEAD_DIM / 16;
constexpr int kColumns = (GROUP + 7) / 8;  // column tiles of 8 query heads
constexpr int kSub = TILE_KV / 16;
constexpr int kRecord = HEAD_DIM + 2;  // unnormalised output, maximum, sum
constexpr float kLog2e = 1.4426950408889634f;

struct Warp {
  float acc[kColumns][kSteps][4];
  float top[kColumns][2], sum[kColumns][2];
};

// Sends one tile's keys and values on their way. Tokens beyond the end repeat the last one: their
// scores are masked, and no value that is not a number may meet a zero weight.
static __device__ __forceinline__ void issue(coppice_u32 stage, coppice_u32 barrier, int slot,
                                             const char* keys, const char* values, int lane) {
#ifdef LOAD_BULK
  if (lane == 0) {
    coppice_barrier_expect(barrier, TILE_KV * kRowBytes * 2);
  }
  __syncwarp();
#pragma unroll
  for (int r = lane; r < TILE_KV; r += 32) {
    const long long at = static_cast<long long>(slot) * (KV_HEADS * kRowBytes);
    coppice_bulk(stage + r * kPitch, keys + at, kRowBytes, barrier);
    coppice_bulk(stage + kTileBytes + r * kPitch, values + at, kRowBytes, barrier);
  }
#else
  constexpr int kSegments = kRowBytes / 16;
  constexpr int kRowsAtOnce = 32 / kSegments;
#pragma unroll
  for (int r = 0; r < TILE_KV; r += kRowsAtOnce) {
    const int row = r + lane / kSegments;
    const long long at = static_cast<long long>(__shfl_sync(~0u, slot, row)) * (KV_HEADS * kRowBytes) +
                         (lane % kSegments) * 16;
    const coppice_u32 to = stage + row * kPitch + (lane % kSegments) * 16;
    coppice_copy16(to, keys + at);
    coppice_copy16(to + kTileBytes, values + at);
  }
#endif
}

static __device__ __forceinline__ void attend(Warp& w, coppice_u32 stage, int valid, float scale,
                                              const coppice_u32 (&q)[kColumns][kSteps][2], int lane) {
  float s[kSub][kColumns][4];
#pragma unroll
  for (int t = 0; t < kSub; ++t) {
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        s[t][n][i] = 0.0f;
      }
    }
    const coppice_u32 row = stage + (t * 16 + lane % 16) * kPitch + (lane / 16) * 16;
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      coppice_u32 a[4];
      coppice_ldmatrix(a, row + k * 32);
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        coppice_mma(s[t][n], a, q[n][k][0], q[n][k][1]);
      }
    }
  }
  bool moved = false;
  float shrink[kColumns][2];
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float top = w.top[n][h];
#pragma unroll
      for (int t = 0; t < kSub; ++t) {
        const int first = t * 16 + lane / 4;
        s[t][n][h] = first < valid ? s[t][n][h] * scale : -COPPICE_INFINITY;
        s[t][n][h + 2] = first + 8 < valid ? s[t][n][h + 2] * scale : -COPPICE_INFINITY;
        top = fmaxf(top, fmaxf(s[t][n][h], s[t][n][h + 2]));
      }
#pragma unroll
      for (int d = 4; d < 32; d <<= 1) {
        top = fmaxf(top, __shfl_xor_sync(~0u, top, d));
      }
      shrink[n][h] = coppice_exp2(w.top[n][h] - top);
      moved = moved || top != w.top[n][h];
      w.top[n][h] = top;
      w.sum[n][h] *= shrink[n][h];
    }
  }
  if (__any_sync(~0u, moved)) {
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int d = 0; d < kSteps; ++d) {
        w.acc[n][d][0] *= shrink[n][0];
        w.acc[n][d][1] *= shrink[n][1];
        w.acc[n][d][2] *= shrink[n][0];
        w.acc[n][d][3] *= shrink[n][1];
      }
    }
  }
#pragma unroll
  for (int t = 0; t < kSub; ++t) {
    coppice_u32 p[kColumns][2];
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float low = coppice_exp2(s[t][n][2 * half] - w.top[n][0]);
        const float high = coppice_exp2(s[t][n][2 * half + 1] - w.top[n][1]);
        w.sum[n][0] += low;  // not rounded: the log-sum-exp must be right to 1e-3
        w.sum[n][1] += high;
        p[n][half] = coppice_transpose(coppice_pack(low, high));
      }
    }
    const coppice_u32 row = stage + kTileBytes + (t * 16 + lane / 16 * 8 + lane % 8) * kPitch +
                            (lane / 8 % 2) * 16;
#pragma unroll
    for (int d = 0; d < kSteps; ++d) {
      coppice_u32 a[4];
      coppice_ldmatrix_t(a, row + d * 32);
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        coppice_mma(w.acc[n][d], a, p[n][0], p[n][1]);
      }
    }
  }
}

// A warp's state as records in shared memory: [slice][head of the group][kRecord].
static __device__ __forceinline__ void store_records(const Warp& w, float* records, int lane) {
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int head = n * 8 + 2 * (lane % 4) + h;
      float sum = w.sum[n][h];
#pragma unroll
      for (int d = 4; d < 32; d <<= 1) {
        sum += __shfl_xor_sync(~0u, sum, d);
      }
      if (head < GROUP) {
        float* record = records + head * kRecord;
#pragma unroll
        for (int d = 0; d < kSteps; ++d) {
          record[d * 16 + lane / 4] = w.acc[n][d][h];
          record[d * 16 + lane / 4 + 8] = w.acc[n][d][h + 2];
        }
        if (lane / 4 == 0) {
          record[HEAD_DIM] = w.top[n][h];
          record[HEAD_DIM + 1] = sum;
        }
      }
    }
  }
}

static __device__ __forceinline__ float weight_of(float top, float all) {
  return top == -COPPICE_INFINITY ? 0.0f : coppice_exp2(top - all);
}

static __device__ __forceinline__ void finish(coppice_bf16* out, float* lse, int head, int d,
                                              float value, float top, float sum) {
  out[static_cast<long long>(head) * HEAD_DIM + d] = coppice_to_bf16(sum > 0.0f ? value / sum : 0.0f);
  if (d == 0) {
    lse[head] = sum > 0.0f ? top + log2f(sum) : -COPPICE_INFINITY;
  }
}

// Merges `count` partial records of one head that lie `stride` floats apart in global memory.
static __device__ __forceinline__ void merge_global(const float* records, int count, int stride,
                                                    coppice_bf16* out, float* lse, int head, int d) {
  float top = -COPPICE_INFINITY;
  for (int i = 0; i < count; ++i) {
    top = fmaxf(top, coppice_load_coherent(records + i * stride + HEAD_DIM));
  }
  float sum = 0.0f, value = 0.0f;
#pragma unroll 4
  for (int i = 0; i < count; ++i) {
    const float* record = records + i * stride;
    const float weight = weight_of(coppice_load_coherent(record + HEAD_DIM), top);
    sum += weight * coppice_load_coherent(record + HEAD_DIM + 1);
    value += weight * coppice_load_coherent(record + d);
  }
  finish(out, lse, head, d, value, top, sum);
}

extern "C" __global__ void __launch_bounds__(kWarps * 32)
    decode(const coppice_bf16* q, const char* keys, const char* values, const int* indptr,
           const int* indices, const int* last_page_len, coppice_bf16* out, float* lse,
           float* partial, int* arrived, float sm_scale) {
  extern __shared__ __align__(128) unsigned char shared[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int slice = warp % SLICES, local_head = warp / SLICES;
  const int split = blockIdx.x, kv_head = blockIdx.y * HEADS_PER_BLOCK + local_head;
  const int batch = blockIdx.z;
  const int first_page = indptr[batch], pages = indptr[batch + 1] - first_page;
  const int length = pages == 0 ? 0 : (pages - 1) * PAGE_SIZE + last_page_len[batch];
  const int tiles = (length + TILE_KV - 1) / TILE_KV;
  const int per_split = (tiles + SPLITS - 1) / SPLITS;
  const int end_tile = min(tiles, (split + 1) * per_split);
  const int first_tile = split * per_split + slice;
  const int* table = indices + first_page;
  const coppice_u32 ring = coppice_shared(shared) + warp * (STAGES * kStageBytes);
  const coppice_u32 barriers = coppice_shared(shared) + kWarps * STAGES * kStageBytes + warp * STAGES * 8;
#ifdef LOAD_BULK
  if (lane == 0) {
    for (int i = 0; i < STAGES; ++i) {
      coppice_barrier_init(barriers + 8 * i, 1);
    }
    coppice_barrier_fence();
  }
  __syncwarp();
#endif
  keys += kv_head * kRowBytes;
  values += kv_head * kRowBytes;
  // Where the lane's token of tile `t` lies; the table is read one tile ahead of its use.
  const auto slot_of = [&](int t) {
    const int token = min(t * TILE_KV + lane % TILE_KV, length - 1);
    return t < end_tile ? table[token / PAGE_SIZE] * PAGE_SIZE + token % PAGE_SIZE : 0;
  };
  int next = first_tile, slot = slot_of(next);
#pragma unroll
  for (int i = 0; i < STAGES - 1; ++i) {
    if (next < end_tile) {
      const int now = slot;
      slot = slot_of(next + SLICES);
      issue(ring + i * kStageBytes, barriers + 8 * i, now, keys, values, lane);
    }
    next += SLICES;
    coppice_commit();
  }
  coppice_u32 query[kColumns][kSteps][2];
  const int group_head = (batch * KV_HEADS + kv_head) * GROUP;
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
    const int head = n * 8 + lane / 4;
    const auto* row = reinterpret_cast<const coppice_u32*>(q + static_cast<long long>(group_head + head) * HEAD_DIM);
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      query[n][k][0] = head < GROUP ? row[k * 8 + lane % 4] : 0u;
      query[n][k][1] = head < GROUP ? row[k * 8 + lane % 4 + 4] : 0u;
    }
  }
  Warp w;
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      w.top[n][h] = -COPPICE_INFINITY;
      w.sum[n][h] = 0.0f;
    }
#pragma unroll
    for (int d = 0; d < kSteps; ++d) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        w.acc[n][d][i] = 0.0f;
      }
    }
  }
  int at = 0, phase = 0;
  for (int tile = first_tile; tile < end_tile; tile += SLICES) {
    const int into = at == 0 ? STAGES - 1 : at - 1;
    if (next < end_tile) {
      const int now = slot;
      slot = slot_of(next + SLICES);
      issue(ring + into * kStageBytes, barriers + 8 * into, now, keys, values, lane);
    }
    next += SLICES;
#ifdef LOAD_BULK
    coppice_barrier_wait(barriers + 8 * at, phase);
#else
    coppice_commit();
    coppice_wait_copies<STAGES - 1>();
    __syncwarp();
#endif
    attend(w, ring + at * kStageBytes, length - tile * TILE_KV, sm_scale * kLog2e, query, lane);
    __syncwarp();
    if (++at == STAGES) {
      at = 0;
      phase ^= 1;
    }
  }
  coppice_wait_copies<0>();
  __syncthreads();  // the rings are free: records take their place
#ifdef COMBINE_SEPARATE
#if PDL
  coppice_launch_dependents();
#endif
#endif
  float* records = reinterpret_cast<float*>(shared);
  store_records(w, records + (local_head * SLICES + slice) * (GROUP * kRecord), lane);
  __syncthreads();
  // The slices of each head become one record, which ends in place of the head's first slice.
  for (int i = threadIdx.x; i < HEADS_PER_BLOCK * GROUP * HEAD_DIM; i += kWarps * 32) {
    const int d = i % HEAD_DIM, g = i / HEAD_DIM % GROUP, h = i / (HEAD_DIM * GROUP);
    float* mine = records + h * SLICES * (GROUP * kRecord) + g * kRecord;
    float top = -COPPICE_INFINITY;
#pragma unroll
    for (int s = 0; s < SLICES; ++s) {
      top = fmaxf(top, mine[s * (GROUP * kRecord) + HEAD_DIM]);
    }
    float sum = 0.0f, value = 0.0f;
#pragma unroll
    for (int s = 0; s < SLICES; ++s) {
      const float* record = mine + s * (GROUP * kRecord);
      const float weight = weight_of(record[HEAD_DIM], top);
      sum += weight * record[HEAD_DIM + 1];
      value += weight * record[d];
    }
    [[maybe_unused]] const int head = (batch * KV_HEADS + blockIdx.y * HEADS_PER_BLOCK + h) * GROUP + g;
#if SPLITS == 1
    finish(out, lse, head, d, value, top, sum);
#elif defined(COMBINE_CLUSTER)
    float* place = records + kWarps * (GROUP * kRecord) + (h * GROUP + g) * kRecord;
    place[d] = value;
    if (d == 0) {
      place[HEAD_DIM] = top;
      place[HEAD_DIM + 1] = sum;
    }
#else
    float* place = partial + (static_cast<long long>(head) * SPLITS + split) * kRecord;
    place[d] = value;
    if (d == 0) {
      place[HEAD_DIM] = top;
      place[HEAD_DIM + 1] = sum;
    }
#endif
  }
#if SPLITS > 1 && defined(COMBINE_CLUSTER)
  // Each block of the cluster finishes its share of the (head, element) pairs, reading the other
  // blocks' records where they lie.
  coppice_cluster_sync();
  const coppice_u32 own = coppice_shared(records + kWarps * (GROUP * kRecord));
  constexpr int kAll = HEADS_PER_BLOCK * GROUP * HEAD_DIM;
  for (int i = split * (kWarps * 32) + threadIdx.x; i < kAll; i += SPLITS * kWarps * 32) {
    const int d = i % HEAD_DIM, g = i / HEAD_DIM;
    const coppice_u32 record = own + g * kRecord * 4;
    float tops[SPLITS], top = -COPPICE_INFINITY;
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      tops[s] = coppice_load_cluster(coppice_map_shared(record + HEAD_DIM * 4, s));
      top = fmaxf(top, tops[s]);
    }
    float sum = 0.0f, value = 0.0f;
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      const float weight = weight_of(tops[s], top);
      sum += weight * coppice_load_cluster(coppice_map_shared(record + (HEAD_DIM + 1) * 4, s));
      value += weight * coppice_load_cluster(coppice_map_shared(record + d * 4, s));
    }
    finish(out, lse, (batch * KV_HEADS + blockIdx.y * HEADS_PER_BLOCK) * GROUP + g, d, value, top, sum);
  }
  coppice_cluster_sync();  // nobody leaves while others still read its records
#elif SPLITS > 1 && defined(COMBINE_LAST_BLOCK)
  __shared__ int is_last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    is_last = atomicAdd(arrived + batch * gridDim.y + blockIdx.y, 1) == SPLITS - 1;
  }
  __syncthreads();
  if (is_last) {
    __threadfence();
    for (int i = threadIdx.x; i < HEADS_PER_BLOCK * GROUP * HEAD_DIM; i += kWarps * 32) {
      const int head = (batch * KV_HEADS + blockIdx.y * HEADS_PER_BLOCK) * GROUP + i / HEAD_DIM;
      merge_global(partial + static_cast<long long>(head) * SPLITS * kRecord, SPLITS, kRecord, out,
                   lse, head, i % HEAD_DIM);
    }
  }
#endif
}

extern "C" __global__ void __launch_bounds__(HEAD_DIM)
    combine(const float* partial, coppice_bf16* out, float* lse) {
#if PDL
  coppice_wait_for_previous();
#endif
  merge_global(partial + static_cast<long long>(blockIdx.x) * SPLITS * kRecord, SPLITS, kRecord, out,
               lse, blockIdx.x, threadIdx.x);
}
