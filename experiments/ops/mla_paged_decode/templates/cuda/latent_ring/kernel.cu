// Decode against a latent cache: blocks split the tokens, a ring of tiles in shared memory feeds
// tensor cores. Each row is read once and serves as key (all of it) and as value (its latent part).
// Scores: warps share the tile's keys and, in QK_PARTS parts, the inner dimension; the parts meet in
// shared memory. Values: each warp owns LATENT / WARPS columns of the output for all its heads.
#include "coppice_wgmma.cuh"
#include "latent_merge.cuh"

constexpr int kWidth = LATENT + ROPE;
constexpr int kRowBytes = kWidth * 2;
[[maybe_unused]] constexpr int kPitch = kRowBytes + 16;  // padded rows start in different banks
[[maybe_unused]] constexpr int kBoxRows = 16;  // of a tensor-map copy
[[maybe_unused]] constexpr int kBoxBytes = kBoxRows * kRowBytes;
#ifdef LOAD_TENSOR
constexpr int kTileBytes = TILE_KV * kRowBytes;
#else
constexpr int kTileBytes = TILE_KV * kPitch;
#endif
constexpr int kThreads = WARPS * 32;
constexpr int kRowTiles = HEADS_PER_BLOCK / 16;
constexpr int kSteps = kWidth / 16 / QK_PARTS;  // of the inner dimension, a warp
constexpr int kKeyGroups = WARPS / QK_PARTS;
constexpr int kKeyTiles = TILE_KV / 8 / kKeyGroups;  // of 8 keys, a warp
static_assert(kKeyTiles == 1 || kKeyTiles % 2 == 0);
constexpr int kSub = TILE_KV / 16;
constexpr int kValueTiles = LATENT / 8 / WARPS;  // of 8 columns, a warp
constexpr int kScorePitch = TILE_KV + 8;
constexpr int kScoreFloats = QK_PARTS * HEADS_PER_BLOCK * kScorePitch;
#ifdef LOAD_TENSOR
constexpr int kLoadRows = TILE_KV / kBoxRows;  // boxes that the first warp fetches
#else
constexpr int kLoadRows = TILE_KV / WARPS;  // rows that a warp fetches
#endif
constexpr int kChains = kRowTiles * kKeyTiles >= 2 ? 1 : 2;  // independent sums for the latency
constexpr float kLog2e = 1.4426950408889634f;
#ifndef LOAD_CP_ASYNC
constexpr int kAhead = STAGES;
#else
constexpr int kAhead = STAGES - 1;
#endif

// What a warp keeps: its columns of the output, and (the same in every warp) the running maximum
// and its lanes' share of the sum for rows lane / 4 and lane / 4 + 8 of each row tile.
struct State {
  float acc[kRowTiles][kValueTiles][4];
  float top[kRowTiles][2], sum[kRowTiles][2];
};

struct Place {
  coppice_u32 ring, scores, query, barriers;
  int warp, lane;
};
#ifdef LOAD_TENSOR
using Source = coppice_tensor_map;
#else
using Source = const char*;
#endif

// ---- where things lie in a tile: padded rows; or boxes of sixteen rows, each 64-element chunk of all
// rows by itself and in the 128-byte swizzle ----

static __device__ __forceinline__ coppice_u32 row_offset(int row) {
#ifdef LOAD_TENSOR
  return row / kBoxRows * kBoxBytes + row % kBoxRows * 128;
#else
  return row * kPitch;
#endif
}
static __device__ __forceinline__ coppice_u32 segment_offset(int row, int segment) {  // of 16 bytes
#ifdef LOAD_TENSOR
  return segment / 8 * (kBoxRows * 128) + (segment % 8 ^ row % 8) * 16;
#else
  return segment * 16;
#endif
}
// `steps` (of 32 bytes) further on in the same row; no carry from the two low bits of the step.
static __device__ __forceinline__ coppice_u32 further(coppice_u32 from, int steps) {
#ifdef LOAD_TENSOR
  return (from + steps / 4 * (kBoxRows * 128)) ^ (steps % 4 * 32);
#else
  return from + steps * 32;
#endif
}

// Sends this warp's rows of a tile on their way; lane r holds the slot of row r. Tokens beyond the
// end repeat the last one: no value that is not a number may meet a zero weight.
static __device__ __forceinline__ void issue(const Place& at, int stage, int slot, const Source& cache,
                                             int valid) {
#ifdef LOAD_TENSOR
  // Boxes behind the last token are left out: their pages may not exist.
  const int boxes = min(kLoadRows, (valid + kBoxRows - 1) / kBoxRows);
  const coppice_u32 barrier = at.barriers + 8 * stage;
  if (at.warp == 0) {
    if (at.lane == 0) {
      coppice_barrier_expect(barrier, boxes * kBoxBytes);
    }
    __syncwarp();
    if (at.lane < boxes) {
      const coppice_u32 to = at.ring + stage * kTileBytes + at.lane * kBoxBytes;
#if EVICT_FIRST
      coppice_copy_solid(to, cache, 0, slot, 0, barrier, coppice_evict_first());
#else
      coppice_tensor_copy3(to, cache, barrier, 0, slot, 0);
#endif
    }
  }
#elif defined(LOAD_BULK)
  const coppice_u32 to = at.ring + stage * kTileBytes + at.warp * kLoadRows * kPitch;
  const coppice_u32 barrier = at.barriers + 8 * stage;
  if (at.lane == 0) {
    coppice_barrier_expect(barrier, kLoadRows * kRowBytes);
  }
  __syncwarp();
  if (at.lane < kLoadRows) {
    coppice_bulk(to + at.lane * kPitch, cache + static_cast<long long>(slot) * kRowBytes, kRowBytes,
                 barrier);
  }
#else
  const coppice_u32 to = at.ring + stage * kTileBytes + at.warp * kLoadRows * kPitch;
  constexpr int kSegments = kRowBytes / 16, kAll = kLoadRows * kSegments;
#pragma unroll
  for (int i = 0; i < (kAll + 31) / 32; ++i) {
    const int segment = i * 32 + at.lane, row = segment / kSegments;
    const int from = __shfl_sync(~0u, slot, min(row, kLoadRows - 1));
    if (kAll % 32 == 0 || segment < kAll) {
      coppice_copy16(to + row * kPitch + segment % kSegments * 16,
                     cache + static_cast<long long>(from) * kRowBytes + segment % kSegments * 16);
    }
  }
#endif
}

struct Query {
#ifdef QUERY_REGISTERS
  coppice_u32 a[kRowTiles][kSteps][4];
#endif
};

static __device__ __forceinline__ void query_fragment(coppice_u32 (&a)[4], const Query& query,
                                                      const Place& at, int m, int step) {
#ifdef QUERY_REGISTERS
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    a[i] = query.a[m][step][i];
  }
#else
  const int part = at.warp / kKeyGroups;
  coppice_ldmatrix(a, at.query + (m * 16 + at.lane % 16) * kPitch + at.lane / 16 * 16 +
                          (step * QK_PARTS + part) * 32);
#endif
}

static __device__ __forceinline__ void load_query(Query& query, const Place& at,
                                                  const coppice_bf16* nope, const coppice_bf16* rope,
                                                  long long first_head) {
#ifdef QUERY_REGISTERS
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const long long head = first_head + m * 16 + at.lane / 4 + i % 2 * 8;
        const int d = (k * QK_PARTS + at.warp / kKeyGroups) * 16 + i / 2 * 8 + at.lane % 4 * 2;
        query.a[m][k][i] = *reinterpret_cast<const coppice_u32*>(
            d < LATENT ? nope + head * LATENT + d : rope + head * ROPE + d - LATENT);
      }
    }
  }
#else
  for (int i = threadIdx.x; i < HEADS_PER_BLOCK * (kWidth / 8); i += kThreads) {
    const int row = i / (kWidth / 8), d = i % (kWidth / 8) * 8;
    const uint4 x = *reinterpret_cast<const uint4*>(
        d < LATENT ? nope + (first_head + row) * LATENT + d : rope + (first_head + row) * ROPE + d - LATENT);
    coppice_store_shared16(at.query + row * kPitch + d * 2, x);
  }
#endif
}

// This warp's share of the scores of a tile: its keys, its part of the inner dimension.
static __device__ __forceinline__ void score(const Place& at, const Query& query, int stage, int buffer) {
  const int part = at.warp / kKeyGroups, first_key = at.warp % kKeyGroups * (kKeyTiles * 8);
  float s[kChains][kRowTiles][kKeyTiles][4];
#pragma unroll
  for (int i = 0; i < kChains * kRowTiles * kKeyTiles * 4; ++i) {
    (&s[0][0][0][0])[i] = 0.0f;
  }
  const coppice_u32 tile = at.ring + stage * kTileBytes;
  if constexpr (kKeyTiles % 2 == 0) {  // one load: two key tiles of one step
    const int key = first_key + at.lane / 16 * 8 + at.lane % 8;
    const coppice_u32 row = tile + row_offset(key) + segment_offset(key, part * 2 + at.lane / 8 % 2);
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      coppice_u32 a[kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        query_fragment(a[m], query, at, m, k);
      }
#pragma unroll
      for (int n = 0; n < kKeyTiles; n += 2) {
        coppice_u32 b[4];
        coppice_ldmatrix(b, further(row, k * QK_PARTS) + row_offset(n * 8));
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          coppice_mma(s[0][m][n], a[m], b[0], b[1]);
          coppice_mma(s[0][m][n + 1], a[m], b[2], b[3]);
        }
      }
    }
  } else {  // one load: two steps of one key tile; behind an odd last step what follows is not used
    const int key = first_key + at.lane % 8, step = at.lane / 16 * QK_PARTS + part;
    const coppice_u32 row = tile + row_offset(key) + segment_offset(key, step * 2 + at.lane / 8 % 2);
#pragma unroll
    for (int k = 0; k < kSteps; k += 2) {
      coppice_u32 a[2][kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        query_fragment(a[0][m], query, at, m, k);
        query_fragment(a[1][m], query, at, m, min(k + 1, kSteps - 1));
      }
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n) {
        coppice_u32 b[4];
        coppice_ldmatrix(b, further(row, k * QK_PARTS));
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          coppice_mma(s[0][m][n], a[0][m], b[0], b[1]);
          if (k + 1 < kSteps) {
            coppice_mma(s[kChains - 1][m][n], a[1][m], b[2], b[3]);
          }
        }
      }
    }
  }
  const coppice_u32 to = at.scores + (buffer * kScoreFloats + part * HEADS_PER_BLOCK * kScorePitch +
                                      at.lane / 4 * kScorePitch + first_key + at.lane % 4 * 2) * 4;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float low = s[0][m][n][2 * h], high = s[0][m][n][2 * h + 1];
        if constexpr (kChains == 2) {
          low += s[kChains - 1][m][n][2 * h];
          high += s[kChains - 1][m][n][2 * h + 1];
        }
        coppice_store_shared2(to + ((m * 16 + h * 8) * kScorePitch + n * 8) * 4, low, high);
      }
    }
  }
}

// The whole scores of one row tile as the row operand of the next product wants them:
// x[t][i]: rows lane / 4 + 8 * (i % 2), keys t * 16 + 8 * (i / 2) + 2 * (lane % 4) and the next.
static __device__ __forceinline__ void read_scores(float2 (&x)[kSub][4], const Place& at, int m, int buffer,
                                                   int valid, float scale) {
  const coppice_u32 from = at.scores + (buffer * kScoreFloats + (m * 16 + at.lane / 4) * kScorePitch +
                                        at.lane % 4 * 2) * 4;
#pragma unroll
  for (int t = 0; t < kSub; ++t) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      x[t][i] = make_float2(0.0f, 0.0f);
#pragma unroll
      for (int part = 0; part < QK_PARTS; ++part) {
        const float2 v = coppice_load_shared2(
            from + ((part * HEADS_PER_BLOCK + i % 2 * 8) * kScorePitch + t * 16 + i / 2 * 8) * 4);
        x[t][i].x += v.x;
        x[t][i].y += v.y;
      }
      const int key = t * 16 + i / 2 * 8 + at.lane % 4 * 2;
      x[t][i].x = key < valid ? x[t][i].x * scale : -COPPICE_INFINITY;
      x[t][i].y = key + 1 < valid ? x[t][i].y * scale : -COPPICE_INFINITY;
    }
  }
}

// Turns scores into weights, shrinks what was summed under an older maximum.
static __device__ __forceinline__ void soften(State& w, coppice_u32 (&p)[kSub][4], const Place& at, int m,
                                              int buffer, int valid, float scale) {
  float2 x[kSub][4];
  read_scores(x, at, m, buffer, valid, scale);
  float shrink[2];
  bool moved = false;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float top = w.top[m][h];
#pragma unroll
    for (int t = 0; t < kSub; ++t) {
      top = fmaxf(top, fmaxf(fmaxf(x[t][h].x, x[t][h].y), fmaxf(x[t][h + 2].x, x[t][h + 2].y)));
    }
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
    shrink[h] = coppice_exp2(w.top[m][h] - top);
    moved = moved || top != w.top[m][h];
    w.top[m][h] = top;
    w.sum[m][h] *= shrink[h];
  }
  if (__any_sync(~0u, moved)) {
#pragma unroll
    for (int d = 0; d < kValueTiles; ++d) {
      w.acc[m][d][0] *= shrink[0];
      w.acc[m][d][1] *= shrink[0];
      w.acc[m][d][2] *= shrink[1];
      w.acc[m][d][3] *= shrink[1];
    }
  }
#pragma unroll
  for (int t = 0; t < kSub; ++t) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float low = coppice_exp2(x[t][i].x - w.top[m][i % 2]);
      const float high = coppice_exp2(x[t][i].y - w.top[m][i % 2]);
      w.sum[m][i % 2] += low + high;  // not rounded: the log-sum-exp must be right to 1e-3
      p[t][i] = coppice_pack(low, high);
    }
  }
}

static __device__ __forceinline__ void weigh(State& w, const coppice_u32 (&p)[kRowTiles][kSub][4],
                                             const Place& at, int stage) {
  const int key = at.lane % 16;
  const coppice_u32 row = at.ring + stage * kTileBytes + row_offset(key) +
                          segment_offset(key, at.warp * kValueTiles + at.lane / 16);
#pragma unroll
  for (int t = 0; t < kSub; ++t) {
#pragma unroll
    for (int d = 0; d < kValueTiles; d += 2) {
      coppice_u32 b[4];
      coppice_ldmatrix_t(b, further(row, d / 2) + row_offset(t * 16));
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        coppice_mma(w.acc[m][d], p[m][t], b[0], b[1]);
        coppice_mma(w.acc[m][d + 1], p[m][t], b[2], b[3]);
      }
    }
  }
}

// One split: the result is final.
static __device__ __forceinline__ void store_final(const State& w, const Place& at, coppice_bf16* out,
                                                   float* lse, long long first_head) {
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const long long head = first_head + m * 16 + h * 8 + at.lane / 4;
      const float inverse = w.sum[m][h] > 0.0f ? 1.0f / w.sum[m][h] : 0.0f;
#pragma unroll
      for (int d = 0; d < kValueTiles; ++d) {
        const int column = (at.warp * kValueTiles + d) * 8 + at.lane % 4 * 2;
        *reinterpret_cast<coppice_u32*>(out + head * LATENT + column) =
            coppice_pack(w.acc[m][d][2 * h] * inverse, w.acc[m][d][2 * h + 1] * inverse);
      }
      if (at.warp == 0 && at.lane % 4 == 0) {
        lse[head] = log_sum(w.top[m][h], w.sum[m][h]);
      }
    }
  }
}

// One of several splits: `row_floats` apart for the block's heads, statistics `stat_floats` apart.
static __device__ __forceinline__ void store_records(const State& w, const Place& at, float* values,
                                                     long long row_floats, float* stats, int stat_floats) {
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = m * 16 + h * 8 + at.lane / 4;
#pragma unroll
      for (int d = 0; d < kValueTiles; ++d) {
        const int column = (at.warp * kValueTiles + d) * 8 + at.lane % 4 * 2;
        *reinterpret_cast<float2*>(values + row * row_floats + column) =
            make_float2(w.acc[m][d][2 * h], w.acc[m][d][2 * h + 1]);
      }
      if (at.warp == 0 && at.lane % 4 == 0) {
        stats[row * stat_floats] = w.top[m][h];
        stats[row * stat_floats + 1] = w.sum[m][h];
      }
    }
  }
}

// Rows behind the last token may hold anything, and no value that is not a number may meet a zero
// weight.
[[maybe_unused]] static __device__ __forceinline__ void clear_rows(const Place& at, int stage, int valid) {
  for (int i = threadIdx.x; i < (TILE_KV - valid) * (LATENT / 8); i += kThreads) {
    const int row = valid + i / (LATENT / 8);
    coppice_store_shared16(at.ring + stage * kTileBytes + row_offset(row) + segment_offset(row, i % (LATENT / 8)),
                           make_uint4(0, 0, 0, 0));
  }
  __syncthreads();
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS_PER_SM)
    decode(const coppice_bf16* nope, const coppice_bf16* rope, const int* indptr, const int* indices,
           const int* last_page_len, coppice_bf16* out, float* lse, float* partial, float* stats,
           int* arrived, float sm_scale, long long heads, long long page_size, long long page_refs,
#ifdef LOAD_TENSOR
           const __grid_constant__ coppice_tensor_map cache) {
#else
           const char* cache) {
#endif
  extern __shared__ __align__(1024) unsigned char shared[];
#if defined(COMBINE_SEPARATE) && PDL && EARLY
  coppice_launch_dependents();
#endif
  Place at;
  at.warp = threadIdx.x / 32;
  at.lane = threadIdx.x % 32;
  at.ring = coppice_shared(shared);
  at.scores = at.ring + STAGES * kTileBytes;
  at.query = at.scores + 2 * kScoreFloats * 4;
#ifdef QUERY_REGISTERS
  at.barriers = at.query;
#else
  at.barriers = at.query + HEADS_PER_BLOCK * kPitch;
#endif
  const int split = blockIdx.x, splits = gridDim.x, batch = blockIdx.z, page = static_cast<int>(page_size);
  const long long first_head = batch * heads + blockIdx.y * HEADS_PER_BLOCK;
#if HINT
  // A guess at where the table will be read, right for equal lengths; on its way while indptr comes.
  const long long guess = page_refs * (batch * splits + split) / (gridDim.z * splits) + at.lane * 32;
  if (at.warp == 0 && guess < page_refs * (batch * splits + split + 1) / (gridDim.z * splits)) {
    coppice_prefetch(indices + guess);
  }
#endif
#ifdef LOAD_TENSOR
  if (threadIdx.x == 0) {
    coppice_prefetch_map(cache);
  }
#endif
  const int first_page = indptr[batch], pages = indptr[batch + 1] - first_page;
  const int length = pages == 0 ? 0 : (pages - 1) * page + last_page_len[batch];
  const int tiles = (length + TILE_KV - 1) / TILE_KV;
  const int first_tile = static_cast<int>(static_cast<long long>(tiles) * split / splits);
  const int count = static_cast<int>(static_cast<long long>(tiles) * (split + 1) / splits) - first_tile;
  const int* table = indices + first_page;
#ifndef LOAD_CP_ASYNC
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
#ifdef LOAD_TENSOR
      coppice_barrier_init(at.barriers + 8 * i, 1);
#else
      coppice_barrier_init(at.barriers + 8 * i, WARPS);
#endif
    }
    coppice_barrier_fence();
  }
  __syncthreads();
#endif
  // Where row (box) `lane` of this warp's rows of tile i lies; the table is read one tile ahead of its use.
  const auto slot_of = [&](int i) {
    if (i >= count || at.lane >= kLoadRows) {
      return 0;
    }
#ifdef LOAD_TENSOR
    const int row = at.lane * kBoxRows;
#else
    const int row = at.warp * kLoadRows + at.lane;
#endif
    const int token = min((first_tile + i) * TILE_KV + row, length - 1);
    return table[token / page] * page + token % page;
  };
  int slots[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    slots[i] = slot_of(i);
  }
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (i < count) {
      issue(at, i, slots[i], cache, length - (first_tile + i) * TILE_KV);
    }
    coppice_commit();
  }
  int next = kAhead, slot = slot_of(next);
  Query query;
  load_query(query, at, nope, rope, first_head);
  State w;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      w.top[m][h] = -COPPICE_INFINITY;
      w.sum[m][h] = 0.0f;
    }
#pragma unroll
    for (int d = 0; d < kValueTiles; ++d) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        w.acc[m][d][i] = 0.0f;
      }
    }
  }
#ifdef LOAD_CP_ASYNC
  coppice_wait_copies<STAGES - 2>();
#endif
#if defined(LOAD_CP_ASYNC) || !defined(QUERY_REGISTERS)
  __syncthreads();
#endif
  int stage = 0, phase = 0;
  for (int i = 0; i < count; ++i) {
    const int valid = length - (first_tile + i) * TILE_KV;
#ifndef LOAD_CP_ASYNC
    coppice_barrier_wait(at.barriers + 8 * stage, phase);
#endif
#ifdef LOAD_TENSOR
    if (valid < TILE_KV) {
      clear_rows(at, stage, valid);
    }
#endif
    score(at, query, stage, i % 2);
#ifdef LOAD_CP_ASYNC
    coppice_wait_copies<STAGES - 3>();
#endif
    // The scores are whole, and everybody has done with the tile before this one.
    __syncthreads();
    if (i > 0 || kAhead < STAGES) {
      if (next < count) {
        const int now = slot;
        slot = slot_of(next + 1);
        issue(at, stage == 0 ? STAGES - 1 : stage - 1, now, cache,
              length - (first_tile + next) * TILE_KV);
      }
      ++next;
      coppice_commit();
    }
    coppice_u32 p[kRowTiles][kSub][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      soften(w, p[m], at, m, i % 2, valid, sm_scale * kLog2e);
    }
    weigh(w, p, at, stage);
    if (++stage == STAGES) {
      stage = 0;
      phase ^= 1;
    }
  }
  coppice_wait_copies<0>();
#if defined(COMBINE_SEPARATE) && PDL && !EARLY
  coppice_launch_dependents();
#endif
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      w.sum[m][h] += __shfl_xor_sync(~0u, w.sum[m][h], 1);
      w.sum[m][h] += __shfl_xor_sync(~0u, w.sum[m][h], 2);
    }
  }
  if (splits == 1) {
    store_final(w, at, out, lse, first_head);
    return;
  }
#ifdef COMBINE_CLUSTER
  __syncthreads();  // the ring is free: records take its place
  float* values = reinterpret_cast<float*>(shared);
  float* own_stats = values + HEADS_PER_BLOCK * kRecordPitch;
  store_records(w, at, values, kRecordPitch, own_stats, 2);
  merge_cluster<HEADS_PER_BLOCK>(values, own_stats, threadIdx.x, kThreads, out, lse, first_head);
#else
  store_records(w, at, partial + (first_head * splits + split) * LATENT,
                static_cast<long long>(splits) * LATENT, stats + (first_head * splits + split) * 2,
                splits * 2);
#endif
#ifdef COMBINE_LAST_BLOCK
  int& is_last = *reinterpret_cast<int*>(shared);  // the ring is free
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    is_last = atomicAdd(arrived + batch * gridDim.y + blockIdx.y, 1) == splits - 1;
  }
  __syncthreads();
  if (is_last) {
    __threadfence();
    for (int i = threadIdx.x; i < HEADS_PER_BLOCK * LATENT / 4; i += kThreads) {
      const long long head = first_head + i / (LATENT / 4);
      const int d = i % (LATENT / 4) * 4;
      store_merged(gather<1>(partial, stats, splits, 0, head, d), out, lse, head, d);
    }
  }
#endif
}

extern "C" __global__ void __launch_bounds__(LATENT)
    combine(const float* partial, const float* stats, coppice_bf16* out, float* lse, long long splits) {
  combine_splits(partial, stats, out, lse, splits);
}
