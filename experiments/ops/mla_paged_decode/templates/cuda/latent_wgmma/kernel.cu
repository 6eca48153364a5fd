// Decode against a latent cache on warpgroup tensor cores: tokens are the rows of the products, sixteen
// heads their columns, so that a tile of tokens is read where the copy engine left it, once as keys
// and once, lying the other way, as values. A warp fetches boxes of a tile through a tensor map;
// warpgroups take tiles in turn, each with sums of its own, which meet when the block is through.
// A tile has at most the 64 tokens of an instruction; of a smaller one's scores the rest, made of what
// lies behind it, is not looked at.
#include "coppice_wgmma.cuh"
#include "latent_merge.cuh"

constexpr int kHeads = 16, kTile = TILE;
constexpr int kChunks = (LATENT + ROPE) / 64, kValueChunks = LATENT / 64;  // of 64 columns
constexpr int kEightBytes = kChunks * 1024;                                // eight tokens, chunk by chunk
constexpr int kTileBytes = kTile / 8 * kEightBytes;
constexpr int kBoxes = kTile / BOX_TOKENS, kBoxBytes = BOX_TOKENS / 8 * kEightBytes;
constexpr int kQueryBytes = kChunks * kHeads * 128;
constexpr int kWeightBytes = kHeads * 128;  // a row of 64 tokens a head
constexpr int kThreads = 128 * WARPGROUPS;  // that compute
constexpr float kLog2e = 1.4426950408889634f;

struct Place {
  coppice_u32 ring, query, weights, tops, full, empty;
  coppice_u32 got, stats, mail;  // under COMBINE_CLUSTER; the mail comes where the ring was
};

struct Range {
  const int* table;
  int page, first, end;  // tokens of this block
  int count;             // its tiles
};

// What a thread keeps: of each chunk's columns the four it has by four heads, and for these heads the
// maximum (the same in all threads) and its share of the sum. Head n: 8 * (n / 2) + 2 * (lane % 4) + n % 2.
struct State {
  float out[kValueChunks][8];
  float top[4], sum[4];
};

static __device__ __forceinline__ int head_of(int n) {
  return n / 2 * 8 + static_cast<int>(threadIdx.x % 4) * 2 + n % 2;
}

static __device__ __forceinline__ int page_of(const Range& r, int box) {
  const int token = r.first + box * BOX_TOKENS;
  return token < r.end ? r.table[token / r.page] : 0;
}

// `number` is the page of the lane's box among the first 32.
static __device__ __forceinline__ void produce(const Range& r, const Place& at, const coppice_tensor_map& cache,
                                               int number) {
  constexpr int kBatch = 32 / kBoxes;  // tiles whose pages a warp knows at once
  const int lane = threadIdx.x % 32;
  int next = page_of(r, kBatch * kBoxes + lane);
  for (int i = 0; i < r.count; ++i) {
    if (i > 0 && i % kBatch == 0) {
      number = next;
      next = page_of(r, (i + kBatch) * kBoxes + lane);
    }
    const int stage = i % STAGES, token = r.first + i * kTile + lane * BOX_TOKENS;
    const int page = __shfl_sync(~0u, number, i % kBatch * kBoxes + lane % kBoxes);
    const bool wanted = lane < kBoxes && token < r.end;  // behind the last token there may be no page
#if AHEAD < STAGES
    // What is asked for at once comes at once, the first tile hardly before the last, and memory rests until
    // there is room again: no more than this is on its way at a time.
    if (i >= AHEAD) {
      coppice_barrier_wait(at.full + 8 * ((i - AHEAD) % STAGES), (i - AHEAD) / STAGES % 2);
    }
#endif
    coppice_barrier_wait(at.empty + 8 * stage, (i / STAGES + 1) % 2);
    const int boxes = __popc(__ballot_sync(~0u, wanted));
    if (lane == 0) {
      coppice_barrier_expect(at.full + 8 * stage, boxes * kBoxBytes);
    }
    __syncwarp();
    if (wanted) {
      const coppice_u32 to = at.ring + stage * kTileBytes + lane * kBoxBytes;
      const int x[5] = {0, 0, 0, (page * r.page + token % r.page) / 8, 0};
#if EVICT_FIRST
      coppice_tensor_copy5(to, cache, at.full + 8 * stage, x, coppice_evict_first());
#else
      coppice_tensor_copy5(to, cache, at.full + 8 * stage, x);
#endif
    }
  }
}

// The block's queries: asked for before anything else, as what is asked for behind the first tiles comes
// behind them; then swizzled as a tensor map would leave them.
struct Query {
  uint4 part[(kHeads * kChunks * 8 + kThreads - 1) / kThreads];
};
static __device__ __forceinline__ void ask_query(Query& q, const coppice_bf16* nope, const coppice_bf16* rope,
                                                 long long first_head) {
#pragma unroll
  for (int n = 0; n < static_cast<int>(sizeof(q.part) / 16); ++n) {
    const int i = n * kThreads + static_cast<int>(threadIdx.x), row = i / (kChunks * 8), d = i % (kChunks * 8) * 8;
    if (i < kHeads * kChunks * 8) {
      coppice_read(q.part[n], d < LATENT ? nope + (first_head + row) * LATENT + d
                                         : rope + (first_head + row) * ROPE + d - LATENT);
    }
  }
}
static __device__ __forceinline__ void store_query(const Query& q, const Place& at) {
#pragma unroll
  for (int n = 0; n < static_cast<int>(sizeof(q.part) / 16); ++n) {
    const int i = n * kThreads + static_cast<int>(threadIdx.x), row = i / (kChunks * 8), part = i % (kChunks * 8);
    if (i < kHeads * kChunks * 8) {
      coppice_store_shared16(at.query + part / 8 * (kHeads * 128) + row * 128 + (part % 8 ^ row % 8) * 16, q.part[n]);
    }
  }
  coppice_async_fence();
}

static __device__ __forceinline__ void meet(int group) {
  coppice_named_barrier(2 + group, 128);
}

// Rows behind the last token hold anything, and no value that is not a number may meet a zero weight.
static __device__ __forceinline__ void clear_rows(coppice_u32 tile, int valid, int group) {
  for (int i = threadIdx.x % 128; i < (kTile - valid) * kValueChunks * 8; i += 128) {
    const int row = valid + i / (kValueChunks * 8), part = i % (kValueChunks * 8);
    coppice_store_shared16(tile + row / 8 * kEightBytes + part / 8 * 1024 + row % 8 * 128 + (part % 8 ^ row % 8) * 16,
                           make_uint4(0, 0, 0, 0));
  }
  coppice_async_fence();
  meet(group);
}

// Scores of a tile: x[2 * n + h] is head n's with token 16 * warp + lane / 4 + 8 * h.
static __device__ __forceinline__ void score(float (&x)[8], coppice_u32 tile, coppice_u32 query, int valid, float scale) {
  float s[4][8];  // chains that don't wait for each other
  const coppice_u64 a = coppice_wgmma_spread(tile, 16, kEightBytes), b = coppice_wgmma_operand(query);
  coppice_wgmma_fence();
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      coppice_wgmma<16>(s[step], a + c * 64 + 2 * step, b + c * (kHeads * 8) + 2 * step, c > 0);
    }
  }
  coppice_wgmma_commit();
  coppice_wgmma_wait<0>();
#pragma unroll
  for (int step = 0; step < 4; ++step) {
    coppice_wgmma_hold(s[step]);
  }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4 + 8 * h;
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int i = n / 2 * 4 + 2 * h + n % 2;
      const float sum = (s[0][i] + s[1][i]) + (s[2][i] + s[3][i]);
      x[2 * n + h] = row < valid ? sum * scale : -COPPICE_INFINITY;
    }
  }
}

// The largest of each head over the tile, from all four warps.
static __device__ __forceinline__ void largest(float (&top)[4], const float (&x)[8], coppice_u32 tops, int group) {
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    top[n] = fmaxf(x[2 * n], x[2 * n + 1]);
#pragma unroll
    for (int d = 4; d < 32; d *= 2) {
      top[n] = fmaxf(top[n], __shfl_xor_sync(~0u, top[n], d));
    }
    if (threadIdx.x % 32 < 4) {
      coppice_store_shared4(tops + (head_of(n) * 4 + threadIdx.x % 128 / 32) * 4, __float_as_uint(top[n]));
    }
  }
  meet(group);
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    const uint4 v = coppice_load_shared16(tops + head_of(n) * 16);
    top[n] = fmaxf(fmaxf(__uint_as_float(v.x), __uint_as_float(v.y)),
                   fmaxf(__uint_as_float(v.z), __uint_as_float(v.w)));
  }
}

// Turns scores into weights in shared memory, a row of 64 tokens a head; shrinks older sums.
static __device__ __forceinline__ void soften(State& w, const float (&x)[8], coppice_u32 weights, coppice_u32 tops,
                                              int group) {
  float top[4], shrink[4];
  largest(top, x, tops, group);
  bool moved = false;
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    const float now = fmaxf(w.top[n], top[n]);
    shrink[n] = coppice_exp2(w.top[n] - now);
    moved = moved || now != w.top[n];
    w.top[n] = now;
    const float low = coppice_exp2(x[2 * n] - now), high = coppice_exp2(x[2 * n + 1] - now);
    w.sum[n] = w.sum[n] * shrink[n] + (low + high);
    const int head = head_of(n), token = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    const coppice_u32 both = coppice_pack(low, high), row = weights + head * 128 + token % 8 * 2;
    coppice_store_shared2bytes(row + (token / 8 ^ head % 8) * 16, both & 0xffff);
    coppice_store_shared2bytes(row + ((token / 8 + 1) ^ head % 8) * 16, both >> 16);
  }
  if (__any_sync(~0u, moved)) {
#pragma unroll
    for (int c = 0; c < kValueChunks; ++c) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        w.out[c][i] *= shrink[i / 4 * 2 + i % 2];
      }
    }
  }
  coppice_async_fence();
  meet(group);
}

static __device__ __forceinline__ void weigh(State& w, coppice_u32 tile, coppice_u32 weights) {
  const coppice_u64 a = coppice_wgmma_spread(tile, 1024, kEightBytes), b = coppice_wgmma_operand(weights);
  coppice_wgmma_fence();
#pragma unroll
  for (int k = 0; k < kTile / 16; ++k) {
#pragma unroll
    for (int c = 0; c < kValueChunks; ++c) {
      coppice_wgmma_down<kHeads>(w.out[c], a + c * 64 + k * (2 * kEightBytes / 16), b + 2 * k, 1);
    }
  }
  coppice_wgmma_commit();
  coppice_wgmma_wait<0>();
#pragma unroll
  for (int c = 0; c < kValueChunks; ++c) {
    coppice_wgmma_hold(w.out[c]);
  }
}

static __device__ __forceinline__ void consume(State& w, const Range& r, const Place& at, float scale) {
  const int group = threadIdx.x / 128;
  const coppice_u32 weights = at.weights + group * kWeightBytes, tops = at.tops + group * 256;
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    w.top[n] = -COPPICE_INFINITY;
    w.sum[n] = 0.0f;
  }
#pragma unroll
  for (int c = 0; c < kValueChunks; ++c) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      w.out[c][i] = 0.0f;
    }
  }
#pragma unroll 1
  for (int i = group; i < r.count; i += WARPGROUPS) {
    const int stage = i % STAGES, valid = min(kTile, r.end - r.first - i * kTile);
    const coppice_u32 tile = at.ring + stage * kTileBytes;
    coppice_barrier_wait(at.full + 8 * stage, i / STAGES % 2);
    if (valid < kTile) {
      clear_rows(tile, valid, group);
    }
    float x[8];
    score(x, tile, at.query, valid, scale);
    soften(w, x, weights, tops, group);
    weigh(w, tile, weights);
    if (threadIdx.x % 32 == 0) {
      coppice_barrier_arrive(at.empty + 8 * stage);
    }
  }
}

struct Total {
  float top[4], sum[4], factor[4];  // of the block's heads that the thread has; what its warpgroup's values count
};

// What the warpgroups found together. The ring is free afterwards.
static __device__ __forceinline__ void total(Total& t, State& w, const Place& at, float* stats) {
  const int group = threadIdx.x / 128, lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
  const coppice_u32 tops = at.tops + group * 256;
#pragma unroll
  for (int n = 0; n < 4; ++n) {
#pragma unroll
    for (int d = 4; d < 32; d *= 2) {
      w.sum[n] += __shfl_xor_sync(~0u, w.sum[n], d);
    }
    if (lane < 4) {
      coppice_store_shared4(tops + (head_of(n) * 4 + warp) * 4, __float_as_uint(w.sum[n]));
      if (warp == 0) {
        stats[(group + 1) * 2 * kHeads + head_of(n) * 2] = w.top[n];
      }
    }
  }
  coppice_named_barrier(1, kThreads);
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    t.top[n] = -COPPICE_INFINITY;
    t.sum[n] = 0.0f;
#pragma unroll
    for (int g = 0; g < WARPGROUPS; ++g) {
      t.top[n] = fmaxf(t.top[n], stats[(g + 1) * 2 * kHeads + head_of(n) * 2]);
    }
#pragma unroll
    for (int g = 0; g < WARPGROUPS; ++g) {
      const uint4 v = coppice_load_shared16(at.tops + g * 256 + head_of(n) * 16);
      t.sum[n] += weight_of(stats[(g + 1) * 2 * kHeads + head_of(n) * 2], t.top[n]) *
                  (__uint_as_float(v.x) + __uint_as_float(v.y) + __uint_as_float(v.z) + __uint_as_float(v.w));
    }
    t.factor[n] = weight_of(w.top[n], t.top[n]);
  }
}

#ifdef COMBINE_CLUSTER
// A warp's sixteen columns of a chunk are a piece of 1,024 bytes, a quad of each thread for either half of
// the heads; each block of the cluster finishes some of them.
constexpr int kPieces = LATENT / 16, kMost = (kPieces + SPLITS - 1) / SPLITS;
static __device__ __forceinline__ int first_piece(int split) { return split * kPieces / SPLITS; }

// To a block of the cluster, whose barrier hears of the bytes.
static __device__ __forceinline__ void mail_quad(coppice_u32 to, const float4& v, coppice_u32 got) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1,%2,%3,%4}, [%5];" ::"r"(to),
               "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w), "r"(got)
               : "memory");
}
static __device__ __forceinline__ void mail_pair(coppice_u32 to, float x, float y, coppice_u32 got) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1,%2}, [%3];" ::"r"(to), "f"(x),
               "f"(y), "r"(got)
               : "memory");
}

static __device__ __forceinline__ float4 quad_of(const State& w, const Total& t, int c, int half) {
  const float(&x)[8] = w.out[c];
  return make_float4(x[4 * half] * t.factor[2 * half], x[4 * half + 1] * t.factor[2 * half + 1],
                     x[4 * half + 2] * t.factor[2 * half], x[4 * half + 3] * t.factor[2 * half + 1]);
}

// Each warpgroup adds up its share of the chunks and sends it to those who finish it.
static __device__ __forceinline__ void exchange(const State& w, const Total& t, const Place& at) {
  constexpr int kShare = kValueChunks / WARPGROUPS;
  const int group = threadIdx.x / 128, thread = threadIdx.x % 128, warp = thread / 32, lane = thread % 32;
  const int split = blockIdx.x;
#if WARPGROUPS == 2
#pragma unroll
  for (int c = 0; c < kValueChunks; ++c) {
    if (c / kShare != group) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float4 v = quad_of(w, t, c, half);
        coppice_store_shared16(at.ring + ((c * 2 + half) * 128 + thread) * 16,
                               make_uint4(__float_as_uint(v.x), __float_as_uint(v.y), __float_as_uint(v.z), __float_as_uint(v.w)));
      }
    }
  }
  coppice_named_barrier(1, kThreads);
#endif
  coppice_cluster_wait();  // the others' rings are free
  for (int to = threadIdx.x / 32; to < SPLITS; to += 4 * WARPGROUPS) {
    if (lane < 4) {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        mail_pair(coppice_map_shared(at.stats + (split * kHeads + head_of(n)) * 8, to), t.top[n], t.sum[n],
                  coppice_map_shared(at.got, to));
      }
    }
  }
#pragma unroll
  for (int c = 0; c < kValueChunks; ++c) {
    if (c / kShare == group) {
      const int piece = c * 4 + warp, to = ((piece + 1) * SPLITS - 1) / kPieces;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float4 v = quad_of(w, t, c, half);
#if WARPGROUPS == 2
        const float4 other = coppice_load_shared4(at.ring + ((c * 2 + half) * 128 + thread) * 16);
        v = make_float4(v.x + other.x, v.y + other.y, v.z + other.z, v.w + other.w);
#endif
        mail_quad(coppice_map_shared(
                      at.mail + ((split * kMost + piece - first_piece(to)) * 2 + half) * 512 + lane * 16, to),
                  v, coppice_map_shared(at.got, to));
      }
    }
  }
}

// This block's pieces from all blocks of the cluster, itself among them. A warp has one half of the heads.
static __device__ __forceinline__ void finish(const Place& at, coppice_bf16* out, float* lse, long long first_head) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, half = warp % 2, split = blockIdx.x;
  const int first = first_piece(split), pieces = first_piece(split + 1) - first;
  coppice_barrier_wait_cluster(at.got, 0);
  float weight[SPLITS][2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int head = half * 8 + lane % 4 * 2 + h;
    float2 found[SPLITS];
    float top = -COPPICE_INFINITY, sum = 0.0f;
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      found[s] = coppice_load_shared2(at.stats + (s * kHeads + head) * 8);
      top = fmaxf(top, found[s].x);
    }
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      weight[s][h] = weight_of(found[s].x, top);
      sum += weight[s][h] * found[s].y;
    }
    const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      weight[s][h] *= inverse;
    }
    if (split == 0 && warp < 2 && lane < 4) {
      lse[first_head + head] = log_sum(top, sum);
    }
  }
  for (int own = warp / 2; own < pieces; own += 2 * WARPGROUPS) {
    float v[4] = {};
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      const float4 x = coppice_load_shared4(at.mail + ((s * kMost + own) * 2 + half) * 512 + lane * 16);
      v[0] += weight[s][0] * x.x;
      v[1] += weight[s][1] * x.y;
      v[2] += weight[s][0] * x.z;
      v[3] += weight[s][1] * x.w;
    }
    coppice_bf16* const to = out + (first_head + half * 8 + lane % 4 * 2) * LATENT + (first + own) * 16 + lane / 4;
    to[0] = coppice_to_bf16(v[0]);
    to[LATENT] = coppice_to_bf16(v[1]);
    to[8] = coppice_to_bf16(v[2]);
    to[LATENT + 8] = coppice_to_bf16(v[3]);
  }
}
#else
// The block's record: values [head][column], and of each head the maximum and the sum. All warpgroups.
static __device__ __forceinline__ void gather_block(const State& w, const Total& t, float* values, float* stats) {
  const int group = threadIdx.x / 128, lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
  if (threadIdx.x < 4) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      stats[head_of(n) * 2] = t.top[n];
      stats[head_of(n) * 2 + 1] = t.sum[n];
    }
  }
  for (int turn = 0; turn < WARPGROUPS; ++turn) {
    if (group == turn) {
#pragma unroll
      for (int c = 0; c < kValueChunks; ++c) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const int n = i / 4 * 2 + i % 2, column = c * 64 + warp * 16 + lane / 4 + i / 2 % 2 * 8;
          float& to = values[head_of(n) * kRecordPitch + column];
          to = (turn == 0 ? 0.0f : to) + w.out[c][i] * t.factor[n];
        }
      }
    }
    coppice_named_barrier(1, kThreads);
  }
}
#endif

static __device__ __forceinline__ Range range_of(const int* indptr, const int* indices, const int* last_page_len,
                                                 int page) {
  const int batch = blockIdx.z, first_page = indptr[batch], pages = indptr[batch + 1] - first_page;
  const int length = pages == 0 ? 0 : (pages - 1) * page + last_page_len[batch];
  const int boxes = (length + BOX_TOKENS - 1) / BOX_TOKENS, split = blockIdx.x, splits = gridDim.x;
  Range r;
  r.table = indices + first_page;
  r.page = page;
  r.first = boxes * split / splits * BOX_TOKENS;
  r.end = min(length, boxes * (split + 1) / splits * BOX_TOKENS);
  r.count = (r.end - r.first + kTile - 1) / kTile;
  return r;
}

extern "C" __global__ void __launch_bounds__(kThreads + 32, 1)
    decode(const coppice_bf16* nope, const coppice_bf16* rope, const int* indptr, const int* indices,
           const int* last_page_len, coppice_bf16* out, float* lse, float* partial, float* stats, float sm_scale,
           long long heads, long long page_size, long long page_refs,
           const __grid_constant__ coppice_tensor_map cache) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const int page = static_cast<int>(page_size), split = blockIdx.x, splits = gridDim.x, batch = blockIdx.z;
  const long long first_head = batch * heads + blockIdx.y * kHeads;
  const int lane = threadIdx.x % 32;
  const bool fetches = threadIdx.x >= kThreads;
  Query q;
  if (!fetches) {
    ask_query(q, nope, rope, first_head);
  }
  // The page of the lane's first box if all sequences are equally long: read together with the bounds.
  const long long guess = min(page_refs * (batch * splits + split) / (static_cast<long long>(gridDim.z) * splits) +
                                  lane * BOX_TOKENS / page,
                              page_refs - 1);
  const int guessed = fetches && guess >= 0 ? indices[guess] : 0;
  const coppice_u32 start = coppice_shared(shared);
  Place at;
  at.ring = (start + 1023) & ~1023u;
  at.query = at.ring + STAGES * kTileBytes;
  at.weights = at.query + kQueryBytes;
  at.tops = at.weights + WARPGROUPS * kWeightBytes;
  at.full = at.tops + WARPGROUPS * 256;
  at.empty = at.full + 8 * STAGES;
  float* own_stats = reinterpret_cast<float*>(shared + (at.empty + 8 * STAGES - start));
#ifdef COMBINE_CLUSTER
  at.stats = at.empty + 8 * STAGES + 128 * (WARPGROUPS + 1);
  at.got = at.stats + SPLITS * kHeads * 8;
  at.mail = at.ring + kHeads * LATENT * 4;
#endif
  if (threadIdx.x == kThreads) {
    coppice_prefetch_map(cache);
    for (int i = 0; i < STAGES; ++i) {
      coppice_barrier_init(at.full + 8 * i, 1);
      coppice_barrier_init(at.empty + 8 * i, 4);
    }
#ifdef COMBINE_CLUSTER
    coppice_barrier_init(at.got, 1);
    coppice_barrier_fence();
    coppice_barrier_expect(at.got, SPLITS * ((first_piece(split + 1) - first_piece(split)) * 1024 + kHeads * 8));
#else
    coppice_barrier_fence();
#endif
  }
  __syncthreads();
  const Range r = range_of(indptr, indices, last_page_len, page);
  if (fetches) {
    const long long mine = r.table - indices + (r.first + lane * BOX_TOKENS) / page;
    const bool wanted = r.first + lane * BOX_TOKENS < r.end;
    produce(r, at, cache, wanted ? (mine == guess ? guessed : indices[mine]) : 0);
#ifdef COMBINE_CLUSTER
    __syncwarp();
    coppice_cluster_arrive();
    coppice_cluster_wait();
#endif
    return;
  }
  store_query(q, at);
  coppice_named_barrier(1, kThreads);
  State w;
  consume(w, r, at, sm_scale * kLog2e);
  Total t;
  total(t, w, at, own_stats);
#ifdef COMBINE_CLUSTER
  __syncwarp();
  coppice_cluster_arrive();  // this block's ring is free
  exchange(w, t, at);
  finish(at, out, lse, first_head);
#else
  float* values = reinterpret_cast<float*>(shared + (at.ring - start));
  gather_block(w, t, values, own_stats);
#if PDL
  coppice_launch_dependents();
#endif
  for (int i = threadIdx.x; i < kHeads * LATENT / 4; i += kThreads) {
    const int head = i / (LATENT / 4), d = i % (LATENT / 4) * 4;
    *reinterpret_cast<float4*>(partial + ((first_head + head) * splits + split) * LATENT + d) =
        *reinterpret_cast<const float4*>(values + head * kRecordPitch + d);
  }
  if (threadIdx.x < 2 * kHeads) {
    stats[((first_head + threadIdx.x / 2) * splits + split) * 2 + threadIdx.x % 2] = own_stats[threadIdx.x];
  }
#endif
}

extern "C" __global__ void __launch_bounds__(LATENT)
    combine(const float* partial, const float* stats, coppice_bf16* out, float* lse, long long splits) {
  combine_splits(partial, stats, out, lse, splits);
}
