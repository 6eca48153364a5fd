// Split-KV decode attention without shared memory in the main loop: keys and values go from global
// memory straight into the registers of the tensor-core operands. That works because a dot product
// may visit the head dimension in any order, and an output row may stand anywhere: each thread takes
// 16 bytes that lie together and calls them the elements that the instruction wants of it.
#include "coppice_hopper.cuh"

constexpr int kRowBytes = HEAD_DIM * 2;
constexpr int kChunks = HEAD_DIM / 32;  // of a key: 4 threads x 16 bytes
constexpr int kHalves = HEAD_DIM / 64;  // of a value: 8 threads x 16 bytes
constexpr int kRecord = HEAD_DIM + 2;
constexpr float kLog2e = 1.4426950408889634f;

struct Tile {
  uint4 key[2][kChunks];    // tokens g, g + 8
  uint4 value[4][kHalves];  // tokens 2j, 2j + 1, 2j + 8, 2j + 9
};

static __device__ __forceinline__ uint4 load(const char* from) {
#ifdef POLICY_EVICT_FIRST
  uint4 out;
  coppice_read_policy(out, from, coppice_evict_first());
  return out;
#else
  return coppice_load_once(from);
#endif
}

static __device__ __forceinline__ void read(Tile& tile, const char* keys, const char* values,
                                            int slot, int lane) {
  const int g = lane / 4, j = lane % 4;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const long long at = static_cast<long long>(__shfl_sync(~0u, slot, g + 8 * r)) * (KV_HEADS * kRowBytes);
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      tile.key[r][c] = load(keys + at + c * 64 + j * 16);
    }
  }
#pragma unroll
  for (int t = 0; t < 4; ++t) {
    const int token = 2 * j + (t & 1) + 8 * (t / 2);
    const long long at = static_cast<long long>(__shfl_sync(~0u, slot, token)) * (KV_HEADS * kRowBytes);
#pragma unroll
    for (int h = 0; h < kHalves; ++h) {
      tile.value[t][h] = load(values + at + h * 128 + g * 16);
    }
  }
}

static __device__ __forceinline__ coppice_u32 word(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

struct State {
  float acc[kHalves][4][4];
  float top[2], sum[2];
};

static __device__ __forceinline__ void attend(State& w, const Tile& tile, int valid, float scale,
                                              const uint4 (&q)[kChunks], int lane) {
  float s[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const coppice_u32 a[4] = {word(tile.key[0][c], 2 * k), word(tile.key[1][c], 2 * k),
                                word(tile.key[0][c], 2 * k + 1), word(tile.key[1][c], 2 * k + 1)};
      coppice_mma(s, a, word(q[c], 2 * k), word(q[c], 2 * k + 1));
    }
  }
  bool moved = false;
  float shrink[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    s[h] = lane / 4 < valid ? s[h] * scale : -COPPICE_INFINITY;
    s[h + 2] = lane / 4 + 8 < valid ? s[h + 2] * scale : -COPPICE_INFINITY;
    float top = fmaxf(w.top[h], fmaxf(s[h], s[h + 2]));
#pragma unroll
    for (int d = 4; d < 32; d <<= 1) {
      top = fmaxf(top, __shfl_xor_sync(~0u, top, d));
    }
    shrink[h] = coppice_exp2(w.top[h] - top);
    moved = moved || top != w.top[h];
    w.top[h] = top;
    w.sum[h] *= shrink[h];
  }
  if (__any_sync(~0u, moved)) {
#pragma unroll
    for (int h = 0; h < kHalves; ++h) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        w.acc[h][e][0] *= shrink[0];
        w.acc[h][e][1] *= shrink[1];
        w.acc[h][e][2] *= shrink[0];
        w.acc[h][e][3] *= shrink[1];
      }
    }
  }
  coppice_u32 p[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float low = coppice_exp2(s[2 * half] - w.top[0]);
    const float high = coppice_exp2(s[2 * half + 1] - w.top[1]);
    w.sum[0] += low;  // not rounded: the log-sum-exp must be right to 1e-3
    w.sum[1] += high;
    p[half] = coppice_transpose(coppice_pack(low, high));
  }
#pragma unroll
  for (int h = 0; h < kHalves; ++h) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const coppice_u32 a[4] = {
          __byte_perm(word(tile.value[0][h], e), word(tile.value[1][h], e), 0x5410),
          __byte_perm(word(tile.value[0][h], e), word(tile.value[1][h], e), 0x7632),
          __byte_perm(word(tile.value[2][h], e), word(tile.value[3][h], e), 0x5410),
          __byte_perm(word(tile.value[2][h], e), word(tile.value[3][h], e), 0x7632)};
      coppice_mma(w.acc[h][e], a, p[0], p[1]);
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

extern "C" __global__ void __launch_bounds__(WARPS * 32, MIN_BLOCKS)
    decode(const coppice_bf16* q, const char* keys, const char* values, const int* indptr,
           const int* indices, const int* last_page_len, coppice_bf16* out, float* lse,
           float* values_found, float2* weights_found, float sm_scale) {
#if PDL && EARLY
  coppice_launch_dependents();
#endif
  __shared__ float records[WARPS][GROUP][kRecord];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int split = blockIdx.x, kv_head = blockIdx.y, batch = blockIdx.z;
#if HINT
  // The page numbers of this split when all sequences are equally long and fill the table: on their way
  // while the real bounds are read.
  if (threadIdx.x == 0) {
    constexpr long long kRefs = PAGE_REFS;
    coppice_prefetch(last_page_len + batch);
    coppice_prefetch(indices + min(kRefs * (batch * SPLITS + split) / (BATCH * SPLITS), kRefs - 1));
  }
#endif
  const int first_page = indptr[batch], pages = indptr[batch + 1] - first_page;
  const int length = pages == 0 ? 0 : (pages - 1) * PAGE_SIZE + last_page_len[batch];
  const int tiles = (length + 15) / 16;
  const int per_split = (tiles + SPLITS - 1) / SPLITS;
  const int end_tile = min(tiles, (split + 1) * per_split);
  const int first_tile = split * per_split + warp;
  const int* table = indices + first_page;
  keys += kv_head * kRowBytes;
  values += kv_head * kRowBytes;
  const auto slot_of = [&](int t) {
    const int token = min(t * 16 + lane % 16, length - 1);
    return t < end_tile ? table[token / PAGE_SIZE] * PAGE_SIZE + token % PAGE_SIZE : 0;
  };
  Tile ring[DEPTH];
  int slot = slot_of(first_tile);
#pragma unroll
  for (int i = 0; i < DEPTH - 1; ++i) {
    const int now = slot;
    slot = slot_of(first_tile + (i + 1) * WARPS);
    if (first_tile + i * WARPS < end_tile) {
      read(ring[i], keys, values, now, lane);
    }
  }
  uint4 query[kChunks];
  const int group_head = (batch * KV_HEADS + kv_head) * GROUP;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const char* row = reinterpret_cast<const char*>(q) + static_cast<long long>(group_head + lane / 4) * kRowBytes;
    query[c] = lane / 4 < GROUP ? coppice_load_once(row + c * 64 + lane % 4 * 16) : make_uint4(0, 0, 0, 0);
  }
  State w;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    w.top[h] = -COPPICE_INFINITY;
    w.sum[h] = 0.0f;
  }
#pragma unroll
  for (int h = 0; h < kHalves; ++h) {
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      w.acc[h][i / 4][i % 4] = 0.0f;
    }
  }
  for (int base = first_tile; base < end_tile; base += DEPTH * WARPS) {
#pragma unroll
    for (int i = 0; i < DEPTH; ++i) {  // the ring's index must be a constant
      const int tile = base + i * WARPS, ahead = tile + (DEPTH - 1) * WARPS;
      if (tile < end_tile) {
        const int now = slot;
        slot = slot_of(ahead + WARPS);
        if (ahead < end_tile) {
          read(ring[(i + DEPTH - 1) % DEPTH], keys, values, now, lane);
        }
        attend(w, ring[i], length - tile * 16, sm_scale * kLog2e, query, lane);
      }
    }
  }
#if PDL && !EARLY
  coppice_launch_dependents();
#endif
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int head = 2 * (lane % 4) + h;
    float sum = w.sum[h];
#pragma unroll
    for (int d = 4; d < 32; d <<= 1) {
      sum += __shfl_xor_sync(~0u, sum, d);
    }
    if (head < GROUP) {
      float* record = records[warp][head];
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int d = half * 64 + lane / 4 * 8 + 2 * e;
          record[d] = w.acc[half][e][h];
          record[d + 1] = w.acc[half][e][h + 2];
        }
      }
      if (lane / 4 == 0) {
        record[HEAD_DIM] = w.top[h];
        record[HEAD_DIM + 1] = sum;
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < GROUP * HEAD_DIM; i += WARPS * 32) {
    const int d = i % HEAD_DIM, g = i / HEAD_DIM, head = group_head + g;
    float top = -COPPICE_INFINITY;
#pragma unroll
    for (int s = 0; s < WARPS; ++s) {
      top = fmaxf(top, records[s][g][HEAD_DIM]);
    }
    float sum = 0.0f, value = 0.0f;
#pragma unroll
    for (int s = 0; s < WARPS; ++s) {
      const float weight = weight_of(records[s][g][HEAD_DIM], top);
      sum += weight * records[s][g][HEAD_DIM + 1];
      value += weight * records[s][g][d];
    }
#if SPLITS == 1
    finish(out, lse, head, d, value, top, sum);
#else
    const long long record = static_cast<long long>(head) * SPLITS + split;
    values_found[record * HEAD_DIM + d] = value;
    if (d == 0) {
      weights_found[record] = make_float2(top, sum);
    }
#endif
  }
}

extern "C" __global__ void __launch_bounds__(32 * MERGE_WARPS)
    combine(const float* values_found, const float2* weights_found, coppice_bf16* out, float* lse) {
  __shared__ float merged[MERGE_WARPS][HEAD_DIM];
  const int head = blockIdx.x;
#if PDL
  coppice_wait_for_previous();
#endif
  const long long record = static_cast<long long>(head) * SPLITS;
  float top, sum;
  coppice_merge_pieces(merged, values_found + record * HEAD_DIM, weights_found + record, 1, SPLITS, top, sum);
  for (int d = threadIdx.x; d < HEAD_DIM; d += 32 * MERGE_WARPS) {
    float value = 0.0f;
#pragma unroll
    for (int w = 0; w < MERGE_WARPS; ++w) {
      value += merged[w][d];
    }
    finish(out, lse, head, d, value, top, sum);
  }
}
