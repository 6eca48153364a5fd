// Mixture of experts for many tokens: slots (token, choice) sorted by expert, then two grouped products
// on warpgroup tensor cores with swapped operands: weights are the row operand, an expert's tokens
// the columns, so that a tile is as wide as the expert needs. Persistent blocks; one warpgroup feeds a
// ring (tensor-map copies for the weights, cp.async for the tokens' rows wherever they lie), two
// multiply. Gate and up rows alternate in groups of eight, so that SwiGLU happens in registers. Two blocks
// of a cluster (SHARE) have neighbouring columns of the same weights: each brings half of these to both.
#include "grouped_experts.cuh"

constexpr int kRingBytes = 218000;  // leaves room for the lists of the experts

struct Sizes {
  int tokens, top_k, hidden, inter, experts;
};

// What a product knows about itself; `first` (gate and up) or not (down).
template <bool kIsUp>
struct Product {
  enum : int {  // enumerators, not constants: those of the value 0 would become device variables
    kUp = kIsUp,
    kColumns = kIsUp ? MOST_UP : MOST_DOWN,       // most tokens of a tile
    kRowTiles = kIsUp ? ROW_TILES_UP : ROW_TILES_DOWN,  // of 64, a warpgroup
    kSplits = kIsUp ? 1 : SPLIT_K,
    kTileRows = 128 * kRowTiles,
    kWeightBytes = kTileRows * 128,
    kStageBytes = kWeightBytes + kColumns * 128,
    kFitting = kRingBytes / (kStageBytes + 16),
    kStages = kFitting < STAGES ? kFitting : STAGES,
    kBoxes = kIsUp && kRowTiles == 2 ? 4 : SHARE,  // of a step's weights
    kBoxBytes = kWeightBytes / kBoxes
  };
  static __device__ __forceinline__ int depth(const Sizes& s) { return kUp ? s.hidden : s.inter; }
  static __device__ __forceinline__ int row_blocks(const Sizes& s) {
    return ((kUp ? 2 * s.inter : s.hidden) + kTileRows - 1) / kTileRows;
  }
  static __device__ __forceinline__ int first_step(const Sizes& s, int split) {
    return split * (depth(s) / 64) / kSplits;
  }
};

// Three lists of experts + 1 numbers: the position of an expert's first slot, and how many column
// tiles (of all blocks of a cluster together) are before it, for up and for down.
struct Table {
  const int *start, *tiles_up, *tiles_down;
  __device__ Table(const int* lists, int experts)
      : start(lists), tiles_up(lists + experts + 1), tiles_down(lists + 2 * (experts + 1)) {}
};

// ---- the sort: one block ----

extern "C" __global__ void __launch_bounds__(1024)
    sort(const int* ids, int* sorted, int* place, int* table, long long slots, long long experts) {
  sort_slots<1>(ids, sorted, place, table, slots, experts);
}

// ---- the grouped products ----

struct Work {
  int expert, row_block, split;
  int first, count;  // positions of its tokens
};

template <class P>
static __device__ __forceinline__ int all_tiles(const Table& table, const Sizes& s) {
  return (P::kUp ? table.tiles_up : table.tiles_down)[s.experts] * P::row_blocks(s) * P::kSplits;
}

template <class P>
static __device__ __forceinline__ Work find_work(const Table& table, const Sizes& s, int tile) {
  const int each = P::row_blocks(s) * P::kSplits;
  const int* tiles = P::kUp ? table.tiles_up : table.tiles_down;
  const int column_tile = tile / each;
  int low = 0, high = s.experts;  // the last expert that starts at or before it
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (tiles[middle] <= column_tile ? low : high) = middle;
  }
  // Neighbours share the weights: all column tiles of one block of rows follow each other.
  const int local = tile - tiles[low] * each, of_expert = tiles[low + 1] - tiles[low];
  const int column = local % of_expert * SHARE + static_cast<int>(blockIdx.x) % SHARE;
  const int count = table.start[low + 1] - table.start[low], parts = of_expert * SHARE;
  const int width = ((count + parts - 1) / parts + 7) / 8 * 8;
  Work w;
  w.expert = low;
  w.split = local / of_expert % P::kSplits;
  w.row_block = local / of_expert / P::kSplits;
  w.first = table.start[low] + column * width;
  w.count = max(0, min(width, count - column * width));
  return w;
}

// The warpgroup that feeds the ring. Thread t copies chunk t % 8 of rows t / 8, t / 8 + 16, ...; its
// copies of a step are complete LAG steps later, when it says so to the step's barrier.
template <class P>
static __device__ __forceinline__ void feed(const Ring& ring, const Table& table, const Sizes& sizes,
                                            const char* rows, const int* sorted,
                                            const coppice_tensor_map& weights) {
  constexpr int kPasses = P::kColumns / 16;
  const int row = threadIdx.x / 8, chunk = threadIdx.x % 8;
  const coppice_u32 place = P::kWeightBytes + row * 128 + ((chunk ^ (row % 8)) * 16);
#if EVICT_FIRST
  const coppice_u64 policy = coppice_evict_first();
#else
  const coppice_u64 policy = coppice_evict_normal();
#endif
  const int total = all_tiles<P>(table, sizes), row_bytes = P::depth(sizes) * 2;
  const int mine = static_cast<int>(blockIdx.x) % SHARE * (P::kBoxes / SHARE);
  int stage = 0, phase = 1, late = 0, behind = 0;
  const auto arrive = [&] {
    coppice_async_fence();
    __syncwarp();  // one arrival a warp: they are served one after the other
    if (threadIdx.x % 32 == 0) {
      coppice_barrier_arrive(ring.full + 8 * late);
    }
    late = late + 1 == P::kStages ? 0 : late + 1;
  };
  for (int tile = blockIdx.x / SHARE; tile < total; tile += gridDim.x / SHARE) {
    const Work w = find_work<P>(table, sizes, tile);
    coppice_u32 from[kPasses];
#pragma unroll
    for (int p = 0; p < kPasses; ++p) {
      const int position = w.first + max(0, min(p * 16 + row, w.count - 1));
      const int source = P::kUp ? sorted[position] / sizes.top_k : position;
      from[p] = static_cast<coppice_u32>(source) * row_bytes + chunk * 16;
    }
    const int end = P::first_step(sizes, w.split + 1);
#pragma unroll 1
    for (int step = P::first_step(sizes, w.split); step < end; ++step) {
#if SHARE > 1
      coppice_barrier_wait_cluster(ring.empty + 8 * stage, phase);  // in both blocks
#else
      coppice_barrier_wait(ring.empty + 8 * stage, phase);
#endif
      const coppice_u32 to = ring.stages + stage * P::kStageBytes;
      if (threadIdx.x == 0) {
        coppice_barrier_expect(ring.full + 8 * stage, P::kWeightBytes);
#pragma unroll
        for (int i = 0; i < P::kBoxes / SHARE; ++i) {
          fetch_box<P>(to, weights, ring.full + 8 * stage, w, step * 64, mine + i, sizes, policy);
        }
      }
#pragma unroll
      for (int p = 0; p < kPasses; ++p) {
        if (p * 16 < w.count) {  // columns beyond them are multiplied, whatever they hold, and dropped
          coppice_copy16(to + place + p * 2048, rows + from[p] + step * 128);
        }
      }
      coppice_commit();
      if (behind == LAG) {
        coppice_wait_copies<LAG>();
        arrive();
      } else {
        ++behind;
      }
      if (++stage == P::kStages) {
        stage = 0;
        phase ^= 1;
      }
    }
  }
  coppice_wait_copies<0>();
  for (; behind > 0; --behind) {
    arrive();
  }
}

// Gate and up of one index lie in one thread, as do their neighbours in the other slab.
template <class P, int kWidth>
static __device__ __forceinline__ void store_inner(const float (&d)[P::kRowTiles][kWidth / 2], const Work& w,
                                                   const Sizes& sizes, coppice_bf16* inner, int lane) {
  const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4;
  const int index = ((w.row_block * 2 + group) * 4 + warp) * (8 * P::kRowTiles);
  if (index >= sizes.inter) {
    return;
  }
#pragma unroll
  for (int j = 0; j < kWidth / 8; ++j) {
    coppice_u32 pairs[P::kRowTiles];
#pragma unroll
    for (int m = 0; m < P::kRowTiles; ++m) {
      const float(&v)[kWidth / 2] = d[m];
      pairs[m] = coppice_transpose(coppice_pack(gated(v[4 * j], v[4 * j + 2]), gated(v[4 * j + 1], v[4 * j + 3])));
    }
    const int column = 8 * j + lane / 4;
    if (column < w.count) {
      auto* to = reinterpret_cast<coppice_u32*>(inner + static_cast<long long>(w.first + column) * sizes.inter + index);
      if constexpr (P::kRowTiles == 2) {
        coppice_write(to + lane % 4 * 2, make_uint2(pairs[0], pairs[1]));
      } else {
        to[lane % 4] = pairs[0];
      }
    }
  }
}

// Parts lie in the order of the sorted slots: here nothing is looked up.
template <class P, int kWidth>
static __device__ __forceinline__ void store_parts(const float (&d)[kWidth / 2], const Work& w, int slab,
                                                   const Sizes& sizes, void* parts, int lane) {
  const int row = w.row_block * P::kTileRows + slab * 16;
  if (row >= sizes.hidden) {
    return;
  }
  const long long first = w.split * static_cast<long long>(sizes.tokens) * sizes.top_k + w.first;
#ifndef PARTS_F32
  auto* to = static_cast<coppice_bf16*>(parts) + (first + lane / 4) * sizes.hidden + row + lane % 4 * 4;
#else
  auto* to = static_cast<float*>(parts) + (first + lane % 4 * 2) * sizes.hidden + row + lane / 8 * 4 + lane / 4 % 2;
#endif
#pragma unroll
  for (int j = 0; j < kWidth / 8; ++j, to += 8 * sizes.hidden) {
#ifndef PARTS_F32
    const coppice_u32 low = coppice_transpose(coppice_pack(d[4 * j], d[4 * j + 1]));
    const coppice_u32 high = coppice_transpose(coppice_pack(d[4 * j + 2], d[4 * j + 3]));
    if (8 * j + lane / 4 < w.count) {
      coppice_write(to, make_uint2(low, high));
    }
#else
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (8 * j + lane % 4 * 2 + i < w.count) {
        to[i * sizes.hidden] = d[4 * j + i];
        to[i * sizes.hidden + 2] = d[4 * j + i + 2];
      }
    }
#endif
  }
}

template <class P, int kWidth>
static __device__ __forceinline__ void multiply(const Ring& ring, Reader& at, const Work& w,
                                                const Sizes& sizes, void* result) {
  const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4;
  int lane = threadIdx.x % 32;
  float acc[P::kRowTiles][kWidth / 2];  // set here: else each width's would live through all tiles
#pragma unroll
  for (int m = 0; m < P::kRowTiles; ++m) {
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) {
      acc[m][i] = 0.0f;
    }
  }
  const int begin = P::first_step(sizes, w.split), end = P::first_step(sizes, w.split + 1);
  int before = 0;
#pragma unroll 1
  for (int step = begin; step < end; ++step) {
    coppice_barrier_wait(ring.full + 8 * at.stage, at.phase);
    const coppice_u32 tile = ring.stages + at.stage * P::kStageBytes;
    const coppice_u64 a = coppice_wgmma_operand(tile + group * P::kRowTiles * 8192);
    const coppice_u64 b = coppice_wgmma_operand(tile + P::kWeightBytes);
    coppice_wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; ++k) {  // 16 elements are 32 bytes: 2 in a descriptor
#pragma unroll
      for (int m = 0; m < P::kRowTiles; ++m) {
        coppice_wgmma<kWidth>(acc[m], a + m * 512 + k * 2, b + k * 2, 1);
      }
    }
    coppice_wgmma_commit();
    if (step > begin) {
      coppice_wgmma_wait<1>();  // the step before has been read
      release(ring.empty + 8 * before, lane);
    }
    before = at.stage;
    if (++at.stage == P::kStages) {
      at.stage = 0;
      at.phase ^= 1;
    }
  }
  coppice_wgmma_wait<0>();
#pragma unroll
  for (int m = 0; m < P::kRowTiles; ++m) {
    coppice_wgmma_hold(acc[m]);
  }
  release(ring.empty + 8 * before, lane);
  int from = w.first;
  asm volatile("" : "+r"(from), "+r"(lane));  // no address is worked out before the product is done
  const Work done{w.expert, w.row_block, w.split, from, w.count};
  if constexpr (P::kUp == 1) {
    store_inner<P, kWidth>(acc, done, sizes, static_cast<coppice_bf16*>(result), lane);
  } else {
#pragma unroll
    for (int m = 0; m < P::kRowTiles; ++m) {
      const int slab = (group * P::kRowTiles + m) * 4 + warp;
      store_parts<P, kWidth>(acc[m], done, slab, sizes, result, lane);
    }
  }
}

// The narrowest product that holds the tile's tokens.
template <class P, int kWidth>
static __device__ __forceinline__ void multiply_fitting(const Ring& ring, Reader& at, const Work& w,
                                                        const Sizes& sizes, void* result) {
  if constexpr (kWidth + GRAIN <= P::kColumns) {
    if (w.count > kWidth) {
      multiply_fitting<P, kWidth + GRAIN>(ring, at, w, sizes, result);
      return;
    }
  }
  multiply<P, kWidth>(ring, at, w, sizes, result);
}

template <class P>
static __device__ __forceinline__ void run(const char* rows, const int* sorted, const int* lists, void* result,
                                           const Sizes& sizes, const coppice_tensor_map& weights,
                                           unsigned char* shared) {
  Ring ring;
  ring.stages = (coppice_shared(shared) + kAlign - 1) / kAlign * kAlign;
  ring.full = ring.stages + P::kStages * P::kStageBytes;
  ring.empty = ring.full + 8 * P::kStages;
  int* own = reinterpret_cast<int*>(shared + (ring.empty + 8 * P::kStages - coppice_shared(shared)));
  if (threadIdx.x == 0) {
    for (int i = 0; i < P::kStages; ++i) {
      coppice_barrier_init(ring.full + 8 * i, 4 + 1);
      coppice_barrier_init(ring.empty + 8 * i, 8 * SHARE);
    }
    coppice_barrier_fence();
    coppice_prefetch_map(weights);
  }
#if PDL
  coppice_launch_dependents();
  coppice_wait_for_previous();
#endif
  for (int i = threadIdx.x; i < 3 * (sizes.experts + 1); i += kThreads) {
    own[i] = lists[i];
  }
#if SHARE > 1
  coppice_cluster_sync();  // all barriers are there
#endif
  __syncthreads();
  const Table table(own, sizes.experts);
  if (threadIdx.x < 128) {
    coppice_give_registers<56>();
    feed<P>(ring, table, sizes, rows, sorted, weights);
    leave();
  } else {
    coppice_take_registers<224>();
    Reader at;
    const int total = all_tiles<P>(table, sizes);
    for (int tile = blockIdx.x / SHARE; tile < total; tile += gridDim.x / SHARE) {
      multiply_fitting<P, NARROWEST>(ring, at, find_work<P>(table, sizes, tile), sizes, result);
    }
    leave();
  }
}

static __device__ __forceinline__ Sizes sizes_of(long long tokens, long long top_k, long long hidden,
                                                 long long inter, long long experts) {
  return {static_cast<int>(tokens), static_cast<int>(top_k), static_cast<int>(hidden),
          static_cast<int>(inter), static_cast<int>(experts)};
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
    gate_up(const char* x, const int* sorted, const int* table, coppice_bf16* inner, long long tokens,
            long long top_k, long long hidden, long long depth, long long experts,
            const __grid_constant__ coppice_tensor_map weights) {
  extern __shared__ __align__(1024) unsigned char shared[];
  run<Product<true>>(x, sorted, table, inner, sizes_of(tokens, top_k, hidden, depth, experts), weights,
                     shared);
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
    down(const char* inner, const int* sorted, const int* table, void* parts, long long tokens,
         long long top_k, long long hidden, long long depth, long long experts,
         const __grid_constant__ coppice_tensor_map weights) {
  extern __shared__ __align__(1024) unsigned char shared[];
  run<Product<false>>(inner, sorted, table, parts, sizes_of(tokens, top_k, hidden, depth, experts), weights,
                      shared);
}

// ---- the weighted sum: eight neighbouring elements a thread ----

static __device__ __forceinline__ void add_part(float (&sum)[8], const void* parts, long long at, float weight) {
#ifndef PARTS_F32
  const uint4 v = *reinterpret_cast<const uint4*>(static_cast<const coppice_bf16*>(parts) + at);
  const coppice_u32 words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    sum[2 * i] += weight * coppice_low(words[i]);
    sum[2 * i + 1] += weight * coppice_high(words[i]);
  }
#else
  const float4* from = reinterpret_cast<const float4*>(static_cast<const float*>(parts) + at);
  const float4 low = from[0], high = from[1];
  const float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    sum[i] += weight * values[i];
  }
#endif
}

extern "C" __global__ void __launch_bounds__(128)
    merge(const void* parts, const int* place, const float* routing, coppice_bf16* out, long long tokens, long long top_k,
          long long hidden) {
#if PDL
  coppice_wait_for_previous();
#endif
  const long long token = blockIdx.y;
  const long long d = (blockIdx.x * 128 + threadIdx.x) * 8;
  if (d >= hidden) {
    return;
  }
  float sum[8] = {};
#pragma unroll 8
  for (int j = 0; j < top_k; ++j) {
    const long long slot = token * top_k + j;
#pragma unroll
    for (int s = 0; s < SPLIT_K; ++s) {
      add_part(sum, parts, (s * tokens * top_k + place[slot]) * hidden + d, routing[slot]);
    }
  }
  *reinterpret_cast<uint4*>(out + token * hidden + d) =
      make_uint4(coppice_pack(sum[0], sum[1]), coppice_pack(sum[2], sum[3]), coppice_pack(sum[4], sum[5]),
                 coppice_pack(sum[6], sum[7]));
}
