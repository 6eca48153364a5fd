// Decode attention over whole cache rows: some warps copy all heads of sixteen tokens at once into a
// shared ring (a box of a tensor map, in bulk row by row, or 16 bytes a thread), a warp per key/value
// head computes from it. Blocks share out the tiles of all sequences evenly, so a block may end in the middle of a
// sequence; a second kernel merges what the blocks found.
#include "attend_tile.cuh"

constexpr int kHeadBytes = HEAD_DIM * 2;
constexpr int kRowBytes = KV_HEADS * kHeadBytes;
#ifdef LOAD_BOX
constexpr int kSlab = kTile * 128;  // 64 columns of all tokens, swizzled
constexpr int kHalf = kRowBytes / 128 * kSlab;  // keys, then values
#else
constexpr int kPitch = kRowBytes + PAD;  // rows start in different banks, copies on whole sectors
constexpr int kHalf = kTile * kPitch;    // keys, then values
#endif
constexpr int kStage = 2 * kHalf;
#ifdef LOAD_BOX
constexpr int kHead = HEAD_DIM / 64 * kSlab;  // from one head's first byte to the next one's
#else
constexpr int kHead = kHeadBytes;
#endif
constexpr long long kHeads = KV_HEADS * GROUP;
constexpr int kTilesPerPage = PAGE_SIZE / kTile;
constexpr float kLog2e = 1.4426950408889634f;

// Blocks that get a share: no more than there are tiles, so that no share is empty.
static __device__ __forceinline__ long long shares_of(long long tiles) {
  return min(tiles, static_cast<long long>(BLOCKS));
}
// The first tile of block `i`.
static __device__ __forceinline__ long long first_of(long long i, long long tiles) {
  const long long shares = shares_of(tiles);
  return i >= shares ? tiles : i * tiles / shares;
}

// The sequence that tile `t` belongs to: the last one that starts at or before it (empty ones start
// where the next does, and are passed over).
static __device__ __forceinline__ int sequence_of(const int* indptr, long long t) {
  int low = 0, high = BATCH;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (static_cast<long long>(indptr[middle]) * kTilesPerPage <= t) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// What blocks found, a record for each (piece, query head): unnormalised output; maximum and sum.
struct Partial {
  float* values;
  float2* weights;
};

struct Layout {
#ifdef LOAD_BOX
  enum : bool { kClears = true };
  static __device__ __forceinline__ int place(int row, int sixteen) {
    return sixteen / 8 * kSlab + row * 128 + ((sixteen ^ row) & 7) * 16;
  }
#else
  enum : bool { kClears = false };
  static __device__ __forceinline__ int place(int row, int sixteen) {
    return row * kPitch + sixteen * 16;
  }
#endif
};

// What this block found about (sequence, head): one record for each query head of the group. Block
// and sequence both only grow along the tiles, so their sum names the piece.
static __device__ __forceinline__ void store(const State& w, const Partial& partial, int piece,
                                             int kv_head, int lane) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int head = 2 * (lane % 4) + h;
    const float sum = all_of(w.sum[h]);
    if (head < GROUP) {
      const long long record = piece * kHeads + kv_head * GROUP + head;
      float* values = partial.values + record * HEAD_DIM;
#pragma unroll
      for (int d = 0; d < kSteps; ++d) {
        values[d * 16 + lane / 4] = w.acc[d][h];
        values[d * 16 + lane / 4 + 8] = w.acc[d][h + 2];
      }
      if (lane / 4 == 0) {
        partial.weights[record] = make_float2(w.top[h], sum);
      }
    }
  }
}

// Tokens of tile `t` that count.
static __device__ __forceinline__ int valid_of(long long t, int first_page, int end_page, int last) {
  const long long token = t * kTile - static_cast<long long>(first_page) * PAGE_SIZE;
  const long long length = static_cast<long long>(end_page - first_page - 1) * PAGE_SIZE + last;
  return static_cast<int>(min(length - token, static_cast<long long>(kTile)));
}

#ifdef LOAD_BOX
using Cache = const coppice_tensor_map&;
#define CACHE(name) const __grid_constant__ coppice_tensor_map name
#else
using Cache = const char*;
#define CACHE(name) const char* name
#endif

static __device__ __forceinline__ void produce(Cache keys, Cache values, const int* indptr,
                                               const int* indices, const int* last_page_len,
                                               coppice_u32 ring, coppice_u32 full, coppice_u32 empty,
                                               long long begin, long long end, int producer, int lane) {
#ifndef LOAD_CP_ASYNC
  if (producer > 0) {
    return;
  }
#endif
#ifdef POLICY_EVICT_FIRST
  const coppice_u64 policy = coppice_evict_first();
#else
  const coppice_u64 policy = coppice_evict_normal();
#endif
  int b = begin < end ? sequence_of(indptr, begin) : 0;
  int first_page = indptr[b], end_page = indptr[b + 1], last = last_page_len[b];
  int page = begin < end ? indices[begin / kTilesPerPage] : 0;
  int stage = 0, phase = 1;
  for (long long t = begin; t < end; ++t) {
    while (t >= static_cast<long long>(end_page) * kTilesPerPage) {
      ++b;
      first_page = end_page;
      end_page = indptr[b + 1];
      last = last_page_len[b];
    }
    const int now = page;
    if (t + 1 < end) {
      page = indices[(t + 1) / kTilesPerPage];  // one tile ahead of its use
    }
    const int valid = valid_of(t, first_page, end_page, last);
    // A token beyond the end repeats the last: what lies there may be no number.
    [[maybe_unused]] const int most = max(valid - 1, 0);
    const long long token = static_cast<long long>(now) * PAGE_SIZE + t % kTilesPerPage * kTile;
    coppice_barrier_wait(empty + 8 * stage, phase);
#if defined(LOAD_BOX)
    if (lane == 0) {
      coppice_barrier_expect(full + 8 * stage, kStage);
      const int row = static_cast<int>(token);
      coppice_copy_solid(ring + stage * kStage, keys, 0, row, 0, full + 8 * stage, policy);
      coppice_copy_solid(ring + stage * kStage + kHalf, values, 0, row, 0, full + 8 * stage, policy);
    }
#elif defined(LOAD_BULK)
    const int row = lane % kTile;
    if (lane == 0) {
      coppice_barrier_expect(full + 8 * stage, 2 * kTile * kRowBytes);
    }
    __syncwarp();
    coppice_bulk_policy(ring + stage * kStage + (lane / kTile) * kHalf + row * kPitch,
                 (lane < kTile ? keys : values) + (token + min(row, most)) * kRowBytes, kRowBytes,
                        full + 8 * stage, policy);
#else
    const coppice_u32 to = ring + stage * kStage + lane * 16;
    const char* k = keys + token * kRowBytes + lane * 16;
    const char* v = values + token * kRowBytes + lane * 16;
#pragma unroll
    for (int r = 0; r < kTile; r += PRODUCERS) {
      const int row = r + producer;
      const long long at = min(row, most) * static_cast<long long>(kRowBytes);
#pragma unroll
      for (int c = 0; c < kRowBytes; c += 512) {
        if (kRowBytes % 512 == 0 || c + lane * 16 < kRowBytes) {
          coppice_copy16(to + row * kPitch + c, k + at + c);
          coppice_copy16(to + kHalf + row * kPitch + c, v + at + c);
        }
      }
    }
    coppice_barrier_arrive_when_copied(full + 8 * stage);
#endif
    if (++stage == STAGES) {
      stage = 0;
      phase ^= 1;
    }
  }
  coppice_wait_copies<0>();
}

extern "C" __global__ void __launch_bounds__((KV_HEADS + PRODUCERS) * 32)
    decode(const coppice_bf16* q, CACHE(keys), CACHE(values), const int* indptr,
           const int* indices, const int* last_page_len, float* values_found, float2* weights_found,
           float sm_scale) {
#if PDL && EARLY
  coppice_launch_dependents();
#endif
#if HINT
  // Where this block's page numbers lie when all sequences are as long as the tensors have room for:
  // on their way while the real bounds are read.
  if (threadIdx.x < BATCH) {
    coppice_prefetch(last_page_len + threadIdx.x);
  }
  if (threadIdx.x < 2) {
    constexpr long long kRefs = PAGE_REFS;
    coppice_prefetch(indices + min(kRefs * (blockIdx.x + threadIdx.x) / BLOCKS, kRefs - 1));
  }
#endif
  const Partial partial{values_found, weights_found};
  extern __shared__ __align__(1024) unsigned char shared[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const coppice_u32 ring = (coppice_shared(shared) + 1023) / 1024 * 1024;
  const coppice_u32 full = ring + STAGES * kStage, empty = full + 8 * STAGES;
  const long long tiles = static_cast<long long>(indptr[BATCH]) * kTilesPerPage;
  const long long begin = first_of(blockIdx.x, tiles);
  const long long end = first_of(blockIdx.x + 1, tiles);
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
#ifdef LOAD_CP_ASYNC
      coppice_barrier_init(full + 8 * i, 32 * PRODUCERS);
#else
      coppice_barrier_init(full + 8 * i, 1);
#endif
      coppice_barrier_init(empty + 8 * i, KV_HEADS);
    }
    coppice_barrier_fence();
  }
  __syncthreads();
  if (warp >= KV_HEADS) {
    produce(keys, values, indptr, indices, last_page_len, ring, full, empty, begin, end,
            warp - KV_HEADS, lane);
  } else if (begin < end) {
    State w;
    reset(w);
    coppice_u32 query[kSteps][2];
    int b = sequence_of(indptr, begin), first_page = 0, end_page = 0, last = 0;
    bool fresh = true;
    int stage = 0, phase = 0;
    for (long long t = begin; t < end; ++t) {
      if (fresh || t >= static_cast<long long>(end_page) * kTilesPerPage) {
        if (!fresh) {
          store(w, partial, blockIdx.x + b, warp, lane);
          reset(w);
          do {
            ++b;
          } while (t >= static_cast<long long>(indptr[b + 1]) * kTilesPerPage);
        }
        fresh = false;
        first_page = indptr[b];
        end_page = indptr[b + 1];
        last = last_page_len[b];
        const auto* row = reinterpret_cast<const coppice_u32*>(
            q + (static_cast<long long>(b * KV_HEADS + warp) * GROUP + lane / 4) * HEAD_DIM);
#pragma unroll
        for (int k = 0; k < kSteps; ++k) {
          query[k][0] = lane / 4 < GROUP ? row[k * 8 + lane % 4] : 0u;
          query[k][1] = lane / 4 < GROUP ? row[k * 8 + lane % 4 + 4] : 0u;
        }
      }
      coppice_barrier_wait(full + 8 * stage, phase);
      const int valid = valid_of(t, first_page, end_page, last);
      if (valid > 0) {  // a long page may end in tiles without a token
        const coppice_u32 tile = ring + stage * kStage + warp * kHead;
        attend<Layout>(w, tile, tile + kHalf, valid, sm_scale * kLog2e, query, lane);
      }
      __syncwarp();
      if (lane == 0) {
        coppice_barrier_arrive(empty + 8 * stage);
      }
      if (++stage == STAGES) {
        stage = 0;
        phase ^= 1;
      }
    }
    store(w, partial, blockIdx.x + b, warp, lane);
  }
#if PDL && !EARLY
  coppice_launch_dependents();
#endif
}

extern "C" __global__ void __launch_bounds__(32 * MERGE_WARPS)
    combine(const float* values_found, const float2* weights_found, const int* indptr,
            coppice_bf16* out, float* lse) {
  __shared__ float merged[MERGE_WARPS][HEAD_DIM];
  const int b = blockIdx.y, head = blockIdx.x;
  const long long tiles = static_cast<long long>(indptr[BATCH]) * kTilesPerPage;
  const long long begin = static_cast<long long>(indptr[b]) * kTilesPerPage;
  const long long end = static_cast<long long>(indptr[b + 1]) * kTilesPerPage;
#if PDL
  coppice_wait_for_previous();
#endif
  int first = 0, count = 0;
  if (begin < end) {
    // The blocks whose share holds the first and the last tile of this sequence.
    first = static_cast<int>(((begin + 1) * shares_of(tiles) - 1) / tiles);
    count = static_cast<int>((end * shares_of(tiles) - 1) / tiles) - first + 1;
  }
  const long long record = (first + b) * kHeads + head;
  float top, sum;
  coppice_merge_pieces(merged, values_found + record * HEAD_DIM, weights_found + record, kHeads, count,
                       top, sum);
  const long long row = static_cast<long long>(b) * kHeads + head;
  for (int d = threadIdx.x; d < HEAD_DIM; d += 32 * MERGE_WARPS) {
    float all = 0.0f;
#pragma unroll
    for (int w = 0; w < MERGE_WARPS; ++w) {
      all += merged[w][d];
    }
    out[row * HEAD_DIM + d] = coppice_to_bf16(sum > 0.0f ? all / sum : 0.0f);
  }
  if (threadIdx.x == 0) {
    lse[row] = sum > 0.0f ? top + log2f(sum) : -COPPICE_INFINITY;
  }
}
