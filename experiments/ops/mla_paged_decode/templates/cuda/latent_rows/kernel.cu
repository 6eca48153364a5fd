// Decode against a latent cache with sixteen heads as the rows of small products: nothing is padded, a
// tile of tokens is short, and so is what remains to be done when the last bytes have come. One warp
// fetches rows of tokens, contiguous as they lie, through a tensor map; for the scores each other warp
// has eight tokens of a tile and a part of the columns, for the values all tokens and columns of its
// own, which stay in its registers from the first tile to the result. Splits meet in a cluster, each
// block sending the others what is theirs to finish, or in a second kernel.
#include "coppice_wgmma.cuh"
#include "latent_merge.cuh"

constexpr int kHeads = 16, kWidth = LATENT + ROPE, kRow = 2 * kWidth, kLines = kWidth / 64;
constexpr int kThreads = 32 * WARPS;               // that compute
constexpr int kTileBytes = TILE * kRow, kBox = 16, kBoxes = TILE / kBox, kRing = STAGES * kBoxes;  // in boxes
constexpr int kParts = WARPS * 8 / TILE, kSteps = kWidth / 16 / kParts;  // of the scores' inner dimension
constexpr int kOwn = LATENT / 8 / WARPS;           // of a warp's columns, eights
constexpr int kScores = TILE * kHeads * 4 * kParts;
constexpr int kQueryBytes = kHeads * kRow;
constexpr float kLog2e = 1.4426950408889634f;

// Shared memory, from a multiple of 1,024 on: the ring, then
constexpr int kMail = STAGES * kTileBytes;  // where the query lies before mail comes
#ifdef COMBINE_CLUSTER
constexpr int kEights = (LATENT / 8 + SPLITS - 1) / SPLITS;  // columns that a block finishes, at most
constexpr int kInbox = SPLITS * kEights * 512;
constexpr int kScoresAt = kMail + (kInbox > kQueryBytes ? kInbox : kQueryBytes);
constexpr int kStatsAt = kScoresAt + 2 * kScores, kFull = kStatsAt + SPLITS * kHeads * 8;
constexpr int kEmpty = kFull + 8 * STAGES, kGot = kEmpty + 8 * STAGES;
#else
constexpr int kScoresAt = kMail + kQueryBytes;
constexpr int kFull = kScoresAt + 2 * kScores, kEmpty = kFull + 8 * STAGES;
#endif

struct Range {
  const int* table;
  int page, first, end, boxes, count;  // tokens of this block, their boxes and tiles
};

struct State {
  float out[kOwn][4];  // heads lane / 4 and + 8, columns 2 * (lane % 4) and + 1 of each eight
  float top[2], sum[2];
};

// Where 16 bytes of a token's row lie from the tile's first row on, which is 1,024-byte aligned.
static __device__ __forceinline__ int place(int token, int sixteen) {
  const int line = token * kLines + sixteen / 8;
  return line * 128 + ((sixteen ^ line) & 7) * 16;
}

static __device__ __forceinline__ int page_of(const Range& r, int box) {
  return box < r.boxes ? r.table[(r.first + box * kBox) / r.page] : 0;
}

// Lane i fetches boxes i, i + 32, ...; a tile's barrier hears of each of its boxes, fetched or not.
static __device__ __forceinline__ void produce(const Range& r, coppice_u32 base, const coppice_tensor_map& cache,
                                               int number) {
  const int lane = threadIdx.x % 32, all = r.count * kBoxes;
#if EVICT_FIRST
  const coppice_u64 policy = coppice_evict_first();
#else
  const coppice_u64 policy = coppice_evict_normal();
#endif
  const auto send = [&](int box, int page) {
    const coppice_u32 full = base + kFull + 8 * (box / kBoxes % STAGES);
    if (box >= r.boxes) {
      coppice_barrier_arrive(full);
      return;
    }
    const int token = r.first + box * kBox, row = page * r.page + token % r.page;
    coppice_barrier_expect(full, kBox * kRow);
    coppice_copy_solid(base + box % kRing * (kBox * kRow), cache, 0, 0, row, full, policy);
  };
  constexpr int kAtOnce = kRing < 32 ? kRing : 32;
  if (lane < min(all, kAtOnce)) {
    send(lane, number);
  }
  int next = page_of(r, 32 + lane);
  for (int box = kAtOnce; box < all; ++box) {
    if (box % 32 == 0) {
      number = next;
      next = page_of(r, box + 32 + lane);
    }
    if (lane == box % 32) {
      if (box >= kRing) {
        coppice_barrier_wait(base + kEmpty + 8 * (box / kBoxes % STAGES), (box / kRing - 1) & 1);
      }
      send(box, number);
    }
    __syncwarp();
  }
}

// The block's queries on their way through shared memory, laid out as a tile is: asked for before anything
// else, as what is asked for behind the first tiles comes behind them.
constexpr int kPieces = kHeads * kWidth / 8, kPerThread = (kPieces + kThreads - 1) / kThreads;
static __device__ __forceinline__ void ask_query(uint4 (&q)[kPerThread], const coppice_bf16* nope,
                                                 const coppice_bf16* rope, long long first_head) {
#pragma unroll
  for (int i = 0; i < kPerThread; ++i) {
    const int piece = i * kThreads + static_cast<int>(threadIdx.x), row = piece / (kWidth / 8), d = piece % (kWidth / 8) * 8;
    if (piece < kPieces) {
      coppice_read(q[i], d < LATENT ? nope + (first_head + row) * LATENT + d : rope + (first_head + row) * ROPE + d - LATENT);
    }
  }
}
static __device__ __forceinline__ void store_query(coppice_u32 at, const uint4 (&q)[kPerThread]) {
#pragma unroll
  for (int i = 0; i < kPerThread; ++i) {
    const int piece = i * kThreads + static_cast<int>(threadIdx.x);
    if (piece < kPieces) {
      coppice_store_shared16(at + place(piece / (kWidth / 8), piece % (kWidth / 8)), q[i]);
    }
  }
}

// Scores of a warp's eight tokens over its part of the columns.
static __device__ __forceinline__ void score(float (&s)[4], coppice_u32 tile, const coppice_u32 (&q)[kSteps][4]) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int token = warp / kParts * 8 + lane % 8, first = warp % kParts * kSteps * 2;
  float chains[4][4] = {};
#pragma unroll
  for (int k = 0; k < kSteps; k += 2) {
    coppice_u32 b[4];  // of an odd number of steps the last loads its own columns twice
    coppice_ldmatrix(b, tile + place(token, first + 2 * k + (k + 1 < kSteps ? lane / 8 : lane / 8 % 2)));
    coppice_mma(chains[k % 4], q[k], b[0], b[1]);
    if (k + 1 < kSteps) {
      coppice_mma(chains[k % 4 + 1], q[k + 1], b[2], b[3]);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    s[i] = (chains[0][i] + chains[1][i]) + (chains[2][i] + chains[3][i]);
  }
}

// All warps alike: sums up the parts of the scores and turns them into weights, as operands of products.
static __device__ __forceinline__ void soften(State& w, coppice_u32 (&p)[TILE / 16][4], coppice_u32 scores, int valid,
                                              float scale) {
  const int lane = threadIdx.x % 32;
  float s[TILE / 8][4];
#pragma unroll
  for (int g = 0; g < TILE / 8; ++g) {
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const float4 x = coppice_load_shared4(scores + (g * kParts + part) * 512 + lane * 16);
      const float v[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        s[g][i] = part == 0 ? v[i] : s[g][i] + v[i];
      }
    }
  }
  float shrink[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float top = w.top[h];
#pragma unroll
    for (int g = 0; g < TILE / 8; ++g) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& x = s[g][2 * h + i];
        x = g * 8 + lane % 4 * 2 + i < valid ? x * scale : -COPPICE_INFINITY;
        top = fmaxf(top, x);
      }
    }
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
    shrink[h] = coppice_exp2(w.top[h] - top);
    w.sum[h] *= shrink[h];
#pragma unroll
    for (int g = 0; g < TILE / 8; ++g) {
      const float low = coppice_exp2(s[g][2 * h] - top), high = coppice_exp2(s[g][2 * h + 1] - top);
      w.sum[h] += low + high;  // not rounded: the log-sum-exp must be right to 1e-3
      p[g / 2][g % 2 * 2 + h] = coppice_pack(low, high);
    }
    w.top[h] = top;
  }
  if (__any_sync(~0u, shrink[0] != 1.0f || shrink[1] != 1.0f)) {
#pragma unroll
    for (int n = 0; n < kOwn; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        w.out[n][i] *= shrink[i / 2];
      }
    }
  }
}

// Rows behind the last token hold anything, and no value that is not a number may meet a zero weight.
// A warp clears the columns that it looks at, when nobody reads the tile's scores any more.
static __device__ __forceinline__ void clear_rows(coppice_u32 tile, int valid) {
  const int first = threadIdx.x / 32 * kOwn;
  for (int i = threadIdx.x % 32; i < (TILE - valid) * kOwn; i += 32) {
    coppice_store_shared16(tile + place(valid + i / kOwn, first + i % kOwn), make_uint4(0, 0, 0, 0));
  }
  coppice_async_fence();
  __syncwarp();
}

static __device__ __forceinline__ void weigh(State& w, coppice_u32 tile, const coppice_u32 (&p)[TILE / 16][4]) {
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * kOwn;
#pragma unroll
  for (int k = 0; k < TILE / 16; ++k) {
#pragma unroll
    for (int n = 0; n < kOwn; n += 2) {
      coppice_u32 b[4];
      coppice_ldmatrix_t(b, tile + place(k * 16 + lane % 16, first + n + lane / 16));
      coppice_mma(w.out[n], p[k], b[0], b[1]);
      coppice_mma(w.out[n + 1], p[k], b[2], b[3]);
    }
  }
}

static __device__ __forceinline__ void consume(State& w, const Range& r, coppice_u32 base,
                                               const coppice_u32 (&q)[kSteps][4], float scale) {
  const int lane = threadIdx.x % 32;
#pragma unroll 1
  for (int i = 0; i < r.count; ++i) {
    const int stage = i % STAGES, valid = min(TILE, r.end - r.first - i * TILE);
    const coppice_u32 tile = base + stage * kTileBytes, scores = base + kScoresAt + i % 2 * kScores;
    coppice_barrier_wait(base + kFull + 8 * stage, i / STAGES % 2);
    float s[4];
    score(s, tile, q);
    coppice_store_shared16(scores + threadIdx.x * 16, make_uint4(__float_as_uint(s[0]), __float_as_uint(s[1]),
                                                                 __float_as_uint(s[2]), __float_as_uint(s[3])));
    coppice_named_barrier(1, kThreads);
    coppice_u32 p[TILE / 16][4];
    soften(w, p, scores, valid, scale);
    if (valid < TILE) {
      clear_rows(tile, valid);
    }
    weigh(w, tile, p);
    __syncwarp();
    if (lane == 0) {
      coppice_barrier_arrive(base + kEmpty + 8 * stage);
    }
  }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    w.sum[h] += __shfl_xor_sync(~0u, w.sum[h], 1);
    w.sum[h] += __shfl_xor_sync(~0u, w.sum[h], 2);
  }
}

#ifdef COMBINE_CLUSTER
static __device__ __forceinline__ int first_eight(int split) { return split * (LATENT / 8) / SPLITS; }

// To the block that finishes these columns, whose barrier hears of the bytes.
static __device__ __forceinline__ void mail_quad(coppice_u32 to, const float (&v)[4], coppice_u32 got) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1,%2,%3,%4}, [%5];" ::"r"(to),
               "f"(v[0]), "f"(v[1]), "f"(v[2]), "f"(v[3]), "r"(got)
               : "memory");
}
static __device__ __forceinline__ void mail_pair(coppice_u32 to, float x, float y, coppice_u32 got) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1,%2}, [%3];" ::"r"(to), "f"(x),
               "f"(y), "r"(got)
               : "memory");
}

static __device__ __forceinline__ void exchange(const State& w, coppice_u32 base) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, split = blockIdx.x;
  for (int to = warp; to < SPLITS; to += WARPS) {
    if (lane % 4 < 2) {
      const int h = lane % 4;
      mail_pair(coppice_map_shared(base + kStatsAt + (split * kHeads + lane / 4 + 8 * h) * 8, to),
                h == 0 ? w.top[0] : w.top[1], h == 0 ? w.sum[0] : w.sum[1], coppice_map_shared(base + kGot, to));
    }
  }
#pragma unroll
  for (int n = 0; n < kOwn; ++n) {
    const int eight = warp * kOwn + n;
    const int to = ((eight + 1) * SPLITS - 1) / (LATENT / 8), own = eight - first_eight(to);
    mail_quad(coppice_map_shared(base + kMail + (split * kEights + own) * 512 + lane * 16, to), w.out[n],
              coppice_map_shared(base + kGot, to));
  }
}

// This block's columns from all blocks of the cluster, itself among them.
static __device__ __forceinline__ void finish(coppice_u32 base, coppice_bf16* out, float* lse, long long first_head) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, split = blockIdx.x;
  const int first = first_eight(split), eights = first_eight(split + 1) - first;
  coppice_barrier_wait_cluster(base + kGot, 0);
  float weight[SPLITS][2], top[2], sum[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float2 found[SPLITS];
    top[h] = -COPPICE_INFINITY;
    sum[h] = 0.0f;
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      found[s] = coppice_load_shared2(base + kStatsAt + (s * kHeads + lane / 4 + 8 * h) * 8);
      top[h] = fmaxf(top[h], found[s].x);
    }
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      weight[s][h] = weight_of(found[s].x, top[h]);
      sum[h] += weight[s][h] * found[s].y;
    }
    const float inverse = sum[h] > 0.0f ? 1.0f / sum[h] : 0.0f;
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      weight[s][h] *= inverse;
    }
  }
  for (int own = warp; own < eights; own += WARPS) {
    float v[4] = {};
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      const float4 x = coppice_load_shared4(base + kMail + (s * kEights + own) * 512 + lane * 16);
      v[0] += weight[s][0] * x.x;
      v[1] += weight[s][0] * x.y;
      v[2] += weight[s][1] * x.z;
      v[3] += weight[s][1] * x.w;
    }
    coppice_bf16* const to = out + (first_head + lane / 4) * LATENT + (first + own) * 8 + lane % 4 * 2;
    *reinterpret_cast<coppice_u32*>(to) = coppice_pack(v[0], v[1]);
    *reinterpret_cast<coppice_u32*>(to + 8 * LATENT) = coppice_pack(v[2], v[3]);
  }
  if (split == 0 && warp == 0 && lane % 4 < 2) {
    const int h = lane % 4;
    lse[first_head + lane / 4 + 8 * h] = h == 0 ? log_sum(top[0], sum[0]) : log_sum(top[1], sum[1]);
  }
}
#else
static __device__ __forceinline__ void leave(const State& w, float* partial, float* stats, long long first_head) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const long long splits = gridDim.x, split = blockIdx.x;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const long long record = (first_head + lane / 4 + 8 * h) * splits + split;
#pragma unroll
    for (int n = 0; n < kOwn; ++n) {
      *reinterpret_cast<float2*>(partial + record * LATENT + (warp * kOwn + n) * 8 + lane % 4 * 2) =
          make_float2(w.out[n][2 * h], w.out[n][2 * h + 1]);
    }
    if (warp == 0 && lane % 4 == 0) {
      *reinterpret_cast<float2*>(stats + record * 2) = make_float2(w.top[h], w.sum[h]);
    }
  }
}
#endif

extern "C" __global__ void __launch_bounds__(kThreads + 32, 1)
    decode(const coppice_bf16* nope, const coppice_bf16* rope, const int* indptr, const int* indices,
           const int* last_page_len, coppice_bf16* out, float* lse, float* partial, float* stats, float sm_scale,
           long long heads, long long page_size, long long page_refs,
           const __grid_constant__ coppice_tensor_map cache) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const coppice_u32 base = (coppice_shared(shared) + 1023) & ~1023u;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int split = blockIdx.x, splits = gridDim.x, batch = blockIdx.z, page = static_cast<int>(page_size);
  const long long first_head = batch * heads + blockIdx.y * kHeads;
  uint4 query[kPerThread];
  if (warp < WARPS) {
    ask_query(query, nope, rope, first_head);
  }
  // The table where this block's tokens are when all sequences are equally long: read together with the bounds.
  long long guess = page_refs * (batch * splits + split) / (static_cast<long long>(gridDim.z) * splits) + lane * kBox / page;
  guess = page_refs > 0 ? min(guess, page_refs - 1) : -1;
  const int guessed = warp == WARPS && guess >= 0 ? indices[guess] : 0;
  const int first_page = indptr[batch], pages = indptr[batch + 1] - first_page, last = last_page_len[batch];
  if (threadIdx.x == kThreads) {
    coppice_prefetch_map(cache);
    for (int i = 0; i < STAGES; ++i) {
      coppice_barrier_init(base + kFull + 8 * i, kBoxes);
      coppice_barrier_init(base + kEmpty + 8 * i, WARPS);
    }
#ifdef COMBINE_CLUSTER
    coppice_barrier_init(base + kGot, 1);
    coppice_barrier_fence();
    coppice_barrier_expect(base + kGot, SPLITS * ((first_eight(split + 1) - first_eight(split)) * 512 + kHeads * 8));
#else
    coppice_barrier_fence();
#endif
  }
  const int length = pages == 0 ? 0 : (pages - 1) * page + last, boxes = (length + kBox - 1) / kBox;
  Range r;
  r.table = indices + first_page;
  r.page = page;
  r.first = boxes * split / splits * kBox;
  r.end = min(length, boxes * (split + 1) / splits * kBox);
  r.boxes = (r.end - r.first + kBox - 1) / kBox;
  r.count = (r.boxes + kBoxes - 1) / kBoxes;
  State w = {};
  w.top[0] = w.top[1] = -COPPICE_INFINITY;
  if (warp == WARPS) {
    __syncwarp();  // the barriers are there
    const long long mine = first_page + (r.first + lane * kBox) / page;
    const int number = lane < r.boxes ? (mine == guess ? guessed : indices[mine]) : 0;
    coppice_named_arrive(2, kThreads + 32);
#ifdef COMBINE_CLUSTER
    __syncwarp();
    coppice_cluster_arrive();
#endif
    produce(r, base, cache, number);
#ifdef COMBINE_CLUSTER
    __syncwarp();
    coppice_cluster_wait();
#endif
    return;
  }
  store_query(base + kMail, query);
  coppice_named_barrier(2, kThreads + 32);  // that, and the barriers of the ring
  coppice_u32 q[kSteps][4];
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
    coppice_ldmatrix(q[k], base + kMail + place(lane % 16, (warp % kParts * kSteps + k) * 2 + lane / 16));
  }
#ifdef COMBINE_CLUSTER
  __syncwarp();
  coppice_cluster_arrive();  // this block's mail may come
#endif
  consume(w, r, base, q, sm_scale * kLog2e);
#ifdef COMBINE_CLUSTER
  coppice_cluster_wait();
  exchange(w, base);
  finish(base, out, lse, first_head);
#else
#if PDL
  coppice_launch_dependents();
#endif
  leave(w, partial, stats, first_head);
#endif
}

extern "C" __global__ void __launch_bounds__(LATENT)
    combine(const float* partial, const float* stats, coppice_bf16* out, float* lse, long long splits) {
  combine_splits(partial, stats, out, lse, splits);
}
