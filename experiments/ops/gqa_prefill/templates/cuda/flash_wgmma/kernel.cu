// Attention of many queries: a warp fetches queries, keys and values through tensor maps into
// swizzled tiles, warpgroups of 64 rows each multiply from there (queries and keys from shared memory,
// weights from registers). A row is a (token, head): PACK neighbouring heads of a group share a tile.
// Keys go from the last seen one to the first, so only the first steps of a tile are masked. Under
// OVERLAP the scores of the next keys are on their way while these weights meet their values; under
// PINGPONG one warpgroup's products run while the other turns scores into weights.
#include "coppice_wgmma.cuh"
#include "query_blocks.cuh"

constexpr int kHalves = HEAD_DIM / 64;  // columns come in 64s, the width of the swizzle
constexpr int kRows = 64 * WARPGROUPS;
constexpr int kQueryBytes = kRows * HEAD_DIM * 2;
constexpr int kEightBytes = 8 * HEAD_DIM * 2;  // eight tokens: their first 64 columns, then the rest
constexpr int kTileBytes = TILE_KV * HEAD_DIM * 2;
constexpr int kBoxes = TILE_KV / BOX;  // copies of BOX tokens
constexpr int kBoxBytes = BOX * HEAD_DIM * 2;
constexpr int kThreads = 128 * (WARPGROUPS + 1);
constexpr int kSteps = TILE_KV / 16;
constexpr float kLog2e = 1.4426950408889634f;
constexpr int kNoMore = -1;  // tokens of what comes after the last tile
static_assert(kBoxes <= 32);

struct Cut {
  enum : int { kTokens = kRows / PACK, kPack = PACK, kGroup = GROUP, kTogether = TOGETHER, kTile = TILE_KV };
};

struct Place {
  coppice_u32 query, keys, values;
  coppice_u32 full_q, empty_q, full_k, empty_k, full_v, empty_v;
  coppice_u32 tiles;  // what the queries of each stage are
};

// The number of this block's tile of a round; rounds alternate in direction, for even work.
static __device__ __forceinline__ int number_of(int round) {
  const int n = gridDim.x, i = blockIdx.x;
  return round * n + (round % 2 == 0 ? i : n - 1 - i);
}

// A stage of a ring, and how often it has been round.
struct Turn {
  int stage = 0, phase = 0;
  __device__ __forceinline__ void next(int stages) {
    if (++stage == stages) {
      stage = 0;
      phase ^= 1;
    }
  }
};

// ---- the warp that fetches ----

// Where box `lane` of a tile of keys lies, in groups of eight tokens; -1: behind the last token.
static __device__ __forceinline__ int box_place(const Problem& p, const Tile& t, int step) {
  const int token = step * TILE_KV + static_cast<int>(threadIdx.x % 32) * BOX;
  if (threadIdx.x % 32 >= kBoxes || step < 0 || token >= t.keys) {
    return -1;
  }
  return (p.pages[t.first_page + token / p.page] * p.page + token % p.page) / 8;
}

static __device__ __forceinline__ void fetch(const coppice_tensor_map& map, coppice_u32 to, coppice_u32 full,
                                             coppice_u32 empty, const Turn& turn, int place, int head) {
  coppice_barrier_wait(empty + 8 * turn.stage, turn.phase ^ 1);
  const coppice_u32 barrier = full + 8 * turn.stage;
  const int boxes = __popc(__ballot_sync(~0u, place >= 0));
  if (threadIdx.x % 32 == 0) {
    coppice_barrier_expect(barrier, boxes * kBoxBytes);
  }
  __syncwarp();
  if (place >= 0) {
    const int at[5] = {0, 0, 0, place, head};
    coppice_tensor_copy5(to + turn.stage * kTileBytes + threadIdx.x % 32 * kBoxBytes, map, barrier, at);
  }
}

// A tile's description comes with its queries: to find it takes as long as a step, and this warp is ahead.
static __device__ __forceinline__ void put_tile(coppice_u32 to, const Tile& t) {
  const auto word = [](int x) { return static_cast<coppice_u32>(x); };
  coppice_store_shared16(to, make_uint4(word(t.pack), word(t.token), word(t.tokens), word(t.seen)));
  coppice_store_shared16(to + 16, make_uint4(word(t.keys), word(t.steps), word(t.first_page), 0));
}

static __device__ __forceinline__ Tile get_tile(coppice_u32 from) {
  const uint4 a = coppice_load_shared16(from), b = coppice_load_shared16(from + 16);
  const auto number = [](coppice_u32 x) { return static_cast<int>(x); };
  return {number(a.x), number(a.y), number(a.z), number(a.w), number(b.x), number(b.y), number(b.z)};
}

// Queries of a tile, or none where it sees no keys.
static __device__ __forceinline__ void fetch_queries(const coppice_tensor_map& map, const Place& at, Turn& q,
                                                     const Tile& t) {
  const coppice_u32 full = at.full_q + 8 * q.stage;
  coppice_barrier_wait(at.empty_q + 8 * q.stage, q.phase ^ 1);
  if (threadIdx.x % 32 == 0) {
    put_tile(at.tiles + 32 * q.stage, t);
    if (t.steps > 0) {
      coppice_barrier_expect(full, kQueryBytes);
      const int x[5] = {0, 0, t.token, 0, t.pack};
      coppice_tensor_copy5(at.query + q.stage * kQueryBytes, map, full, x);
    } else {
      coppice_barrier_arrive(full);
    }
  }
  __syncwarp();
  q.next(QUERIES);
}

static __device__ __forceinline__ void produce(const Problem& p, const Place& at, int blocks,
                                               const coppice_tensor_map& queries,
                                               const coppice_tensor_map& keys,
                                               const coppice_tensor_map& values) {
  Turn q, k, v;
  const int count = blocks * (p.heads / PACK);
  for (int round = 0; number_of(round) < count; ++round) {
    const Tile t = find_tile<Cut>(p, number_of(round), blocks);
    const int head = t.pack * PACK / GROUP;
    int place = box_place(p, t, t.steps - 1);
    fetch_queries(queries, at, q, t);
    for (int step = t.steps - 1; step >= 0; --step) {  // as they are used: values after the next keys
      const int next = box_place(p, t, step - 1);
      if (step == t.steps - 1) {
        fetch(keys, at.keys, at.full_k, at.empty_k, k, place, head);
        k.next(STAGES);
      }
      if (step > 0) {
        fetch(keys, at.keys, at.full_k, at.empty_k, k, next, head);
        k.next(STAGES);
      }
      fetch(values, at.values, at.full_v, at.empty_v, v, place, head);
      v.next(STAGES);
      place = next;
    }
  }
  fetch_queries(queries, at, q, Tile{0, 0, kNoMore, 0, 0, 0, 0});
}

// ---- the warpgroups that compute ----

struct State {
  float out[HEAD_DIM / 2];
  float scores[TILE_KV / 2];
  coppice_u32 weights[kSteps][4];
  float top[2], sum[2], shrink[2];  // rows lane / 4 and lane / 4 + 8 of the warp
};

static __device__ __forceinline__ void release(coppice_u32 empty) {
  if (threadIdx.x % 32 == 0) {
    coppice_barrier_arrive(empty);
  }
}

// Starts scores = queries keys^T for this warpgroup's rows.
static __device__ __forceinline__ void start_scores(State& w, coppice_u32 query, coppice_u32 keys) {
  const coppice_u64 a = coppice_wgmma_operand(query);
  const coppice_u64 b = coppice_wgmma_spread(keys, 16, kEightBytes);
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
#pragma unroll
    for (int step = 0; step < 4; ++step) {  // 16 columns are 32 bytes: 2 in a descriptor
      coppice_wgmma<TILE_KV>(w.scores, a + half * (kRows * 128 / 16) + 2 * step, b + half * 64 + 2 * step,
                             half > 0 || step > 0);
    }
  }
  coppice_wgmma_commit();
}

// Starts out += weights values.
static __device__ __forceinline__ void start_values(State& w, coppice_u32 values) {
  const coppice_u64 b = coppice_wgmma_spread(values, 1024, kEightBytes);
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    coppice_wgmma_across<HEAD_DIM>(w.out, w.weights[step], b + step * (2 * kEightBytes / 16), 1);
  }
  coppice_wgmma_commit();
}

// Row r of the warp's two sees keys before limit[r], counted from the thread's first column.
static __device__ __forceinline__ void mask(State& w, const int (&limit)[2]) {
#pragma unroll
  for (int j = 0; j < TILE_KV / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (8 * j + i % 2 >= limit[i / 2]) {
        w.scores[4 * j + i] = -COPPICE_INFINITY;
      }
    }
  }
}

// Scores become weights, not yet rounded; what the sums so far must shrink by is left in `shrink`.
static __device__ __forceinline__ void soften(State& w, float scale) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float top = w.scores[2 * h];
#pragma unroll
    for (int j = 0; j < TILE_KV / 8; ++j) {
      top = fmaxf(top, fmaxf(w.scores[4 * j + 2 * h], w.scores[4 * j + 2 * h + 1]));
    }
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
    top = fmaxf(top, w.top[h]);
    // Nothing seen yet: any finite maximum will do, minus infinity less itself is no number.
    const float base = top == -COPPICE_INFINITY ? 0.0f : top * scale;
    w.shrink[h] = top == w.top[h] ? 1.0f : coppice_exp2(w.top[h] * scale - base);
    w.top[h] = top;
    float sum[2] = {};  // two chains
#pragma unroll
    for (int j = 0; j < TILE_KV / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& x = w.scores[4 * j + 2 * h + i];
        x = coppice_exp2(x * scale - base);
        sum[i] += x;
      }
    }
    w.sum[h] = w.sum[h] * w.shrink[h] + (sum[0] + sum[1]);
  }
}

static __device__ __forceinline__ void round_weights(State& w) {
#pragma unroll
  for (int t = 0; t < kSteps; ++t) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      w.weights[t][i] = coppice_pack(w.scores[8 * t + 2 * i], w.scores[8 * t + 2 * i + 1]);
    }
  }
}

static __device__ __forceinline__ void shrink_sums(State& w) {
#if LAZY
  if (!__any_sync(~0u, w.shrink[0] != 1.0f || w.shrink[1] != 1.0f)) {
    return;
  }
#endif
#pragma unroll
  for (int i = 0; i < HEAD_DIM / 2; ++i) {
    w.out[i] *= w.shrink[i / 2 % 2];
  }
}

// Rows of values behind the sequence's end hold anything, and no value that is not a number may meet
// a zero weight. Each warpgroup clears them for itself before it reads them.
static __device__ __forceinline__ void clear_values(coppice_u32 values, int valid) {
  constexpr int kChunks = HEAD_DIM / 8;
  for (int i = threadIdx.x % 128; i < (TILE_KV - valid) * kChunks; i += 128) {
    const int row = valid + i / kChunks, chunk = i % kChunks;
    coppice_store_shared16(values + row / 8 * kEightBytes + chunk / 8 * 1024 + row % 8 * 128 + (chunk % 8 ^ row % 8) * 16,
                           make_uint4(0, 0, 0, 0));
  }
  coppice_async_fence();
  coppice_named_barrier(4 + static_cast<int>(threadIdx.x / 128) - 1, 128);
}

// Turns of the warpgroups at the tensor cores.
static __device__ __forceinline__ void my_turn(int group) {
#if PINGPONG && WARPGROUPS > 1
  coppice_named_barrier(1 + group, 256);
#endif
}
static __device__ __forceinline__ void your_turn(int group) {
#if PINGPONG && WARPGROUPS > 1
  coppice_named_arrive(1 + (group + 1) % WARPGROUPS, 256);
#endif
}

struct Rings {
  Turn q, k, v;
};

struct Reader {
  Place at;
  int group;
  float scale;
};

static __device__ __forceinline__ void score(State& w, const Reader& r, const Tile& t, int step) {
  if ((step + 1) * TILE_KV > t.seen) {
    const int row = r.group * 64 + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    const int left = t.seen - step * TILE_KV - static_cast<int>(threadIdx.x % 4) * 2;
    const int limit[2] = {left + row / PACK, left + (row + 8) / PACK};
    mask(w, limit);
  }
  soften(w, r.scale);
}

static __device__ __forceinline__ void wait_values(const Reader& r, const Tile& t, const Rings& rings, int step) {
  coppice_barrier_wait(r.at.full_v + 8 * rings.v.stage, rings.v.phase);
  if ((step + 1) * TILE_KV > t.keys) {
    clear_values(r.at.values + rings.v.stage * kTileBytes, t.keys - step * TILE_KV);
  }
}

// All keys of a tile, from the last to the first.
static __device__ __forceinline__ void attend(State& w, const Reader& r, const Tile& t, Rings& rings) {
  const Place& at = r.at;
  const coppice_u32 query = at.query + rings.q.stage * kQueryBytes + r.group * 8192;
#if OVERLAP
  coppice_barrier_wait(at.full_k + 8 * rings.k.stage, rings.k.phase);
  coppice_wgmma_fence();
  start_scores(w, query, at.keys + rings.k.stage * kTileBytes);
  coppice_wgmma_wait<0>();
  coppice_wgmma_hold(w.scores);
  release(at.empty_k + 8 * rings.k.stage);
  rings.k.next(STAGES);
  score(w, r, t, t.steps - 1);
  round_weights(w);
#pragma unroll 1
  for (int step = t.steps - 1; step > 0; --step) {
    coppice_barrier_wait(at.full_k + 8 * rings.k.stage, rings.k.phase);
    wait_values(r, t, rings, step);
    my_turn(r.group);
    coppice_wgmma_fence();
    start_scores(w, query, at.keys + rings.k.stage * kTileBytes);
    start_values(w, at.values + rings.v.stage * kTileBytes);
    your_turn(r.group);
    coppice_wgmma_wait<1>();
    coppice_wgmma_hold(w.scores);
    release(at.empty_k + 8 * rings.k.stage);
    rings.k.next(STAGES);
    score(w, r, t, step - 1);
    if (w.sum[0] + w.sum[1] < 0.0f) {  // never: but else the assembler moves the exponentials behind the wait
      __nanosleep(0);
    }
    coppice_wgmma_wait<0>();
    coppice_wgmma_hold(w.out);
    release(at.empty_v + 8 * rings.v.stage);
    rings.v.next(STAGES);
    shrink_sums(w);
    round_weights(w);
  }
  wait_values(r, t, rings, 0);
  coppice_wgmma_fence();
  start_values(w, at.values + rings.v.stage * kTileBytes);
  coppice_wgmma_wait<0>();
  coppice_wgmma_hold(w.out);
  release(at.empty_v + 8 * rings.v.stage);
  rings.v.next(STAGES);
#else
#pragma unroll 1
  for (int step = t.steps - 1; step >= 0; --step) {
    coppice_barrier_wait(at.full_k + 8 * rings.k.stage, rings.k.phase);
    my_turn(r.group);
    coppice_wgmma_fence();
    start_scores(w, query, at.keys + rings.k.stage * kTileBytes);
    coppice_wgmma_wait<0>();
    coppice_wgmma_hold(w.scores);
    coppice_wgmma_hold(w.out);
    your_turn(r.group);
    release(at.empty_k + 8 * rings.k.stage);
    rings.k.next(STAGES);
    if (step < t.steps - 1) {
      release(at.empty_v + 8 * rings.v.stage);
      rings.v.next(STAGES);
    }
    score(w, r, t, step);
    shrink_sums(w);
    round_weights(w);
    wait_values(r, t, rings, step);
    coppice_wgmma_fence();
    start_values(w, at.values + rings.v.stage * kTileBytes);
  }
  coppice_wgmma_wait<0>();
  coppice_wgmma_hold(w.out);
  release(at.empty_v + 8 * rings.v.stage);
  rings.v.next(STAGES);
#endif
}

// The result goes through the place of this warpgroup's queries, to leave in rows of whole lines.
static __device__ __forceinline__ void store(State& w, const Reader& r, const Problem& p, const Tile& t,
                                             coppice_u32 query, coppice_bf16* out, float* lse) {
  const int lane = threadIdx.x % 32, row = threadIdx.x % 128 / 32 * 16 + lane / 4;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float sum = w.sum[h];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
    const int mine = row + 8 * h, global = r.group * 64 + mine;
    if (lane % 4 == 0 && global / PACK < t.tokens) {
      lse[static_cast<long long>(t.token + global / PACK) * p.heads + t.pack * PACK + global % PACK] =
          sum > 0.0f ? w.top[h] * r.scale + log2f(sum) : -COPPICE_INFINITY;
    }
#pragma unroll
    for (int j = 0; j < HEAD_DIM / 8; ++j) {
      const coppice_u32 to = query + j / 8 * (kRows * 128) + mine * 128 + ((j % 8 ^ mine % 8) * 16) + lane % 4 * 4;
      coppice_store_shared4(to, coppice_pack(w.out[4 * j + 2 * h] * inverse, w.out[4 * j + 2 * h + 1] * inverse));
    }
  }
  __syncwarp();  // a warp's rows are its own
  constexpr int kChunks = HEAD_DIM / 8;
#pragma unroll 4
  for (int i = lane; i < 16 * kChunks; i += 32) {
    const int mine = threadIdx.x % 128 / 32 * 16 + i / kChunks, chunk = i % kChunks, global = r.group * 64 + mine;
    const uint4 x = coppice_load_shared16(query + chunk / 8 * (kRows * 128) + mine * 128 + ((chunk % 8 ^ mine % 8) * 16));
    if (global / PACK < t.tokens) {
      const long long to = static_cast<long long>(t.token + global / PACK) * p.heads + t.pack * PACK + global % PACK;
      coppice_write(out + to * HEAD_DIM + chunk * 8, x);
    }
  }
}

static __device__ __forceinline__ void consume(const Problem& p, const Reader& r, coppice_bf16* out, float* lse) {
  Rings rings;
  if (r.group == WARPGROUPS - 1) {
    your_turn(r.group);  // the first begins
  }
  for (;; rings.q.next(QUERIES)) {
    const coppice_u32 empty = r.at.empty_q + 8 * rings.q.stage;
    coppice_barrier_wait(r.at.full_q + 8 * rings.q.stage, rings.q.phase);
    const Tile t = get_tile(r.at.tiles + 32 * rings.q.stage);
    if (t.tokens == kNoMore) {
      break;
    }
    if (t.steps == 0) {
      store_nothing<Cut, HEAD_DIM>(p, t, r.group * 128 + threadIdx.x % 128, WARPGROUPS * 128, out, lse);
      __syncwarp();
      release(empty);
      continue;
    }
    State w;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      w.top[h] = -COPPICE_INFINITY;
      w.sum[h] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < HEAD_DIM / 2; ++i) {
      w.out[i] = 0.0f;
    }
    attend(w, r, t, rings);
    coppice_named_barrier(4 + r.group, 128);  // a slower warp's products may still read these queries
    store(w, r, p, t, r.at.query + rings.q.stage * kQueryBytes + r.group * 8192, out, lse);
    coppice_async_fence();  // the next queries come by the copy engine
    __syncwarp();
    release(empty);
  }
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
    flash(const __grid_constant__ coppice_tensor_map queries, const __grid_constant__ coppice_tensor_map keys,
          const __grid_constant__ coppice_tensor_map values, const int* starts, const int* first_pages,
          const int* pages, const int* last, coppice_bf16* out, float* lse, long long batch, long long heads,
          long long page, float sm_scale) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const Problem p = {starts, first_pages, pages, last, static_cast<int>(batch), static_cast<int>(heads),
                     static_cast<int>(page)};
  Place at;
  at.query = (coppice_shared(shared) + 1023) & ~1023u;
  at.keys = at.query + QUERIES * kQueryBytes;
  at.values = at.keys + STAGES * kTileBytes;
  at.full_q = at.values + STAGES * kTileBytes;
  at.empty_q = at.full_q + 8 * QUERIES;
  at.full_k = at.empty_q + 8 * QUERIES;
  at.empty_k = at.full_k + 8 * STAGES;
  at.full_v = at.empty_k + 8 * STAGES;
  at.empty_v = at.full_v + 8 * STAGES;
  at.tiles = (at.empty_v + 8 * STAGES + 15) & ~15u;
  if (threadIdx.x == 0) {
    coppice_prefetch_map(queries);
    coppice_prefetch_map(keys);
    coppice_prefetch_map(values);
    for (int i = 0; i < QUERIES; ++i) {
      coppice_barrier_init(at.full_q + 8 * i, 1);
      coppice_barrier_init(at.empty_q + 8 * i, 4 * WARPGROUPS);
    }
    for (int i = 0; i < STAGES; ++i) {
      coppice_barrier_init(at.full_k + 8 * i, 1);
      coppice_barrier_init(at.empty_k + 8 * i, 4 * WARPGROUPS);
      coppice_barrier_init(at.full_v + 8 * i, 1);
      coppice_barrier_init(at.empty_v + 8 * i, 4 * WARPGROUPS);
    }
    coppice_barrier_fence();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
#if WARPGROUPS > 1
    coppice_give_registers<WARPGROUPS == 3 ? 32 : 40>();
#endif
    if (threadIdx.x < 32) {
      produce(p, at, blocks_from<Cut>(p, 0), queries, keys, values);
    }
  } else {
#if WARPGROUPS == 2
    coppice_take_registers<232>();
#elif WARPGROUPS == 3
    coppice_take_registers<160>();
#endif
    const Reader r = {at, static_cast<int>(threadIdx.x / 128) - 1, sm_scale * kLog2e};
    consume(p, r, out, lse);
  }
}
