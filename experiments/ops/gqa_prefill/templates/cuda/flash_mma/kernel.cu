// Attention of many queries with the tensor cores every target has: each warp owns sixteen rows of a
// block's tile, keys and values of any page size come row by row through a ring of cp.async copies.
// A row is a (token, head): PACK neighbouring heads of a group share a tile. Keys go from the last
// seen one to the first, so only the first steps of a tile are masked.
#include "coppice_hopper.cuh"
#include "query_blocks.cuh"

constexpr int kRows = 16 * WARPS;
constexpr int kThreads = 32 * WARPS;
constexpr int kPitch = HEAD_DIM * 2;       // bytes; chunks of 16 are swizzled inside 128
constexpr int kChunks = HEAD_DIM / 8;
constexpr int kTileBytes = TILE_KV * kPitch;
constexpr int kCopies = TILE_KV * kChunks / kThreads;  // of a thread, for keys and for values
constexpr int kRowStep = kThreads / kChunks;           // between rows of a thread
constexpr float kLog2e = 1.4426950408889634f;
static_assert(kCopies * kThreads == TILE_KV * kChunks && kThreads % kChunks == 0);

struct Cut {
  enum : int { kTokens = kRows / PACK, kPack = PACK, kGroup = GROUP, kTogether = TOGETHER, kTile = TILE_KV };
};

struct State {
  coppice_u32 query[HEAD_DIM / 16][4];
  float out[HEAD_DIM / 8][4];
  float scores[TILE_KV / 8][4];
  float top[2], sum[2];  // rows lane / 4 and lane / 4 + 8
};

static __device__ __forceinline__ coppice_u32 place(int row, int chunk) {
  return row * kPitch + (chunk ^ row % 8) * 16;
}

// Where this thread's rows of a tile of keys lie; those behind the end repeat the last: no value that
// is not a number may meet a zero weight.
struct Slots {
  long long at[kCopies];
};

static __device__ __forceinline__ void find_slots(Slots& slots, const Problem& p, const Tile& t, int step) {
  if (step < 0) {
    return;
  }
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const int token = min(step * TILE_KV + i * kRowStep + static_cast<int>(threadIdx.x) / kChunks, t.keys - 1);
    slots.at[i] = static_cast<long long>(p.pages[t.first_page + token / p.page]) * p.page + token % p.page;
  }
}

static __device__ __forceinline__ void send(coppice_u32 to, const coppice_bf16* cache, const Slots& slots, int kv_heads,
                                            int head) {
  const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    coppice_copy16(to + place(row + i * kRowStep, chunk),
                   cache + (slots.at[i] * kv_heads + head) * HEAD_DIM + chunk * 8);
  }
}

static __device__ __forceinline__ void load_query(State& w, const Problem& p, const Tile& t, const coppice_bf16* q) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = threadIdx.x / 32 * 16 + lane / 4 + 8 * h, token = min(row / PACK, t.tokens - 1);
    const coppice_bf16* from =
        q + (static_cast<long long>(t.token + token) * p.heads + t.pack * PACK + row % PACK) * HEAD_DIM + lane % 4 * 2;
#pragma unroll
    for (int k = 0; k < HEAD_DIM / 16; ++k) {
      w.query[k][h] = *reinterpret_cast<const coppice_u32*>(from + k * 16);
      w.query[k][h + 2] = *reinterpret_cast<const coppice_u32*>(from + k * 16 + 8);
    }
  }
}

static __device__ __forceinline__ void score(State& w, coppice_u32 keys) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int j = 0; j < TILE_KV / 8; j += 2) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      w.scores[j][i] = w.scores[j + 1][i] = 0.0f;
    }
#pragma unroll
    for (int k = 0; k < HEAD_DIM / 16; ++k) {
      coppice_u32 b[4];
      coppice_ldmatrix(b, keys + place(j * 8 + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
      coppice_mma(w.scores[j], w.query[k], b[0], b[1]);
      coppice_mma(w.scores[j + 1], w.query[k], b[2], b[3]);
    }
  }
}

// Keys behind what a row sees weigh nothing.
static __device__ __forceinline__ void mask(State& w, const Tile& t, int step) {
  const int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
  const int left = t.seen - step * TILE_KV - static_cast<int>(threadIdx.x % 4) * 2;
  const int limit[2] = {left + row / PACK, left + (row + 8) / PACK};
#pragma unroll
  for (int j = 0; j < TILE_KV / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (8 * j + i % 2 >= limit[i / 2]) {
        w.scores[j][i] = -COPPICE_INFINITY;
      }
    }
  }
}

// Scores become weights; what was summed under an older maximum shrinks.
static __device__ __forceinline__ void soften(State& w, float scale) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float top = w.top[h];
#pragma unroll
    for (int j = 0; j < TILE_KV / 8; ++j) {
      top = fmaxf(top, fmaxf(w.scores[j][2 * h], w.scores[j][2 * h + 1]));
    }
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
    // Nothing seen yet: any finite maximum will do, minus infinity less itself is no number.
    const float base = top == -COPPICE_INFINITY ? 0.0f : top * scale;
    const float shrink = coppice_exp2(w.top[h] * scale - base);
    w.top[h] = top;
    w.sum[h] *= shrink;
#pragma unroll
    for (int d = 0; d < HEAD_DIM / 8; ++d) {
      w.out[d][2 * h] *= shrink;
      w.out[d][2 * h + 1] *= shrink;
    }
#pragma unroll
    for (int j = 0; j < TILE_KV / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& x = w.scores[j][2 * h + i];
        x = coppice_exp2(x * scale - base);
        w.sum[h] += x;
      }
    }
  }
}

static __device__ __forceinline__ void weigh(State& w, coppice_u32 values) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int t = 0; t < TILE_KV / 16; ++t) {
    const coppice_u32 a[4] = {coppice_pack(w.scores[2 * t][0], w.scores[2 * t][1]),
                              coppice_pack(w.scores[2 * t][2], w.scores[2 * t][3]),
                              coppice_pack(w.scores[2 * t + 1][0], w.scores[2 * t + 1][1]),
                              coppice_pack(w.scores[2 * t + 1][2], w.scores[2 * t + 1][3])};
#pragma unroll
    for (int d = 0; d < HEAD_DIM / 8; d += 2) {
      coppice_u32 b[4];
      coppice_ldmatrix_t(b, values + place(t * 16 + lane % 16, d + lane / 16));
      coppice_mma(w.out[d], a, b[0], b[1]);
      coppice_mma(w.out[d + 1], a, b[2], b[3]);
    }
  }
}

// Through `area`, sixteen rows of this warp, to leave in whole lines.
static __device__ __forceinline__ void store(const State& w, const Problem& p, const Tile& t, coppice_u32 area,
                                             float scale, coppice_bf16* out, float* lse) {
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float sum = w.sum[h];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
    const int mine = lane / 4 + 8 * h, row = first + mine;
    if (lane % 4 == 0 && row / PACK < t.tokens) {
      lse[static_cast<long long>(t.token + row / PACK) * p.heads + t.pack * PACK + row % PACK] =
          sum > 0.0f ? w.top[h] * scale + log2f(sum) : -COPPICE_INFINITY;
    }
#pragma unroll
    for (int d = 0; d < HEAD_DIM / 8; ++d) {
      coppice_store_shared4(area + place(mine, d) + lane % 4 * 4,
                            coppice_pack(w.out[d][2 * h] * inverse, w.out[d][2 * h + 1] * inverse));
    }
  }
  __syncwarp();
#pragma unroll 4
  for (int i = lane; i < 16 * kChunks; i += 32) {
    const int row = first + i / kChunks;
    const uint4 x = coppice_load_shared16(area + place(i / kChunks, i % kChunks));
    if (row / PACK < t.tokens) {
      const long long to = static_cast<long long>(t.token + row / PACK) * p.heads + t.pack * PACK + row % PACK;
      coppice_write(out + to * HEAD_DIM + i % kChunks * 8, x);
    }
  }
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS_PER_SM)
    flash(const coppice_bf16* q, const coppice_bf16* k_cache, const coppice_bf16* v_cache, const int* starts,
          const int* first_pages, const int* pages, const int* last, coppice_bf16* out, float* lse,
          long long batch, long long heads, long long page, float sm_scale) {
  extern __shared__ __align__(128) unsigned char shared[];
  const Problem p = {starts, first_pages, pages, last, static_cast<int>(batch), static_cast<int>(heads),
                     static_cast<int>(page)};
  const int blocks = blocks_from<Cut>(p, 0);
  if (static_cast<int>(blockIdx.x) >= blocks * (p.heads / PACK)) {
    return;
  }
  const Tile t = find_tile<Cut>(p, blockIdx.x, blocks);
  if (t.steps == 0) {
    store_nothing<Cut, HEAD_DIM>(p, t, threadIdx.x, kThreads, out, lse);
    return;
  }
  const coppice_u32 ring = coppice_shared(shared);
  const int kv_heads = p.heads / GROUP, head = t.pack * PACK / GROUP;
  Slots slots;
  find_slots(slots, p, t, t.steps - 1);
#pragma unroll
  for (int i = 0; i < STAGES - 1; ++i) {
    if (i < t.steps) {
      send(ring + i * 2 * kTileBytes, k_cache, slots, kv_heads, head);
      send(ring + (i * 2 + 1) * kTileBytes, v_cache, slots, kv_heads, head);
      find_slots(slots, p, t, t.steps - 2 - i);
    }
    coppice_commit();
  }
  State w = {};
  load_query(w, p, t, q);
  w.top[0] = w.top[1] = -COPPICE_INFINITY;
  int stage = 0;
#pragma unroll 1
  for (int step = t.steps - 1; step >= 0; --step) {
    coppice_wait_copies<STAGES - 2>();
    __syncthreads();  // everybody's copies are here, and everybody has left the stage before
    const int ahead = step - (STAGES - 1);
    if (ahead >= 0) {
      const int to = (stage + STAGES - 1) % STAGES;
      send(ring + to * 2 * kTileBytes, k_cache, slots, kv_heads, head);
      send(ring + (to * 2 + 1) * kTileBytes, v_cache, slots, kv_heads, head);
      find_slots(slots, p, t, ahead - 1);
    }
    coppice_commit();
    const coppice_u32 keys = ring + stage * 2 * kTileBytes;
    score(w, keys);
    if ((step + 1) * TILE_KV > t.seen) {
      mask(w, t, step);
    }
    soften(w, sm_scale * kLog2e);
    weigh(w, keys + kTileBytes);
    stage = stage + 1 == STAGES ? 0 : stage + 1;
  }
  coppice_wait_copies<0>();
  __syncthreads();  // the ring is free: the result passes through it
  store(w, p, t, ring + threadIdx.x / 32 * 16 * kPitch, sm_scale * kLog2e, out, lse);
}
