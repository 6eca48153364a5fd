// Mixture of experts for many tokens, all operands by the copy engine: slots (token, choice) are sorted
// by expert, and the tokens' rows are laid out once in that order as panels of 64 columns in the
// swizzle that the tensor cores read, so that a step's tokens of a tile are one plain copy; the first
// product leaves its result in panels too. Weights come through tensor maps; one thread feeds the ring
// of a persistent block, two warpgroups multiply. Weights are the row operand, an expert's tokens the
// columns; gate and up rows alternate in groups of eight, so that SwiGLU happens in registers. Two blocks
// of a cluster (SHARE) have neighbouring columns of the same weights: each brings half of these to both.
#include "grouped_experts.cuh"

constexpr int kRingBytes = 214000;  // leaves room for the lists of the experts

// A panel has `rows` rows: all slots, each expert's first at a multiple of eight.
struct Sizes {
  int tokens, top_k, hidden, inter, experts, rows;
};

// What a product knows about itself; `first` (gate and up) or not (down).
template <bool kIsUp>
struct Product {
  enum : int {  // enumerators, not constants: those of the value 0 would become device variables
    kUp = kIsUp,
    kColumns = kIsUp ? MOST_UP : MOST_DOWN,       // most tokens of a tile
    kRowTiles = kIsUp ? ROW_TILES_UP : ROW_TILES_DOWN,  // of 64, a warpgroup
    kTileRows = 128 * kRowTiles,
    kWeightBytes = kTileRows * 128,
    kStageBytes = kWeightBytes + kColumns * 128,
    kFitting = kRingBytes / (kStageBytes + 16),
    kStages = kFitting < STAGES ? kFitting : STAGES,
    kBoxes = kIsUp && kRowTiles == 2 ? 4 : SHARE,  // of a step's weights
    kBoxBytes = kWeightBytes / kBoxes
  };
  static __device__ __forceinline__ int steps(const Sizes& s) { return (kUp ? s.hidden : s.inter) / 64; }
  static __device__ __forceinline__ int row_blocks(const Sizes& s) {
    return ((kUp ? 2 * s.inter : s.hidden) + kTileRows - 1) / kTileRows;
  }
};

// Four lists of experts + 1 numbers: an expert's first row in a panel, how many column tiles (of all
// blocks of a cluster together) are before it, for up and for down, and its number of slots.
struct Table {
  const int *start, *tiles_up, *tiles_down, *count;
  __device__ Table(const int* lists, int experts)
      : start(lists),
        tiles_up(lists + experts + 1),
        tiles_down(lists + 2 * (experts + 1)),
        count(lists + 3 * (experts + 1)) {}
};

// ---- the sort: one block; sorted[row] is -1 for rows that only fill up ----

extern "C" __global__ void __launch_bounds__(1024)
    sort(const int* ids, int* sorted, int* place, int* table, long long slots, long long experts) {
  sort_slots<8>(ids, sorted, place, table, slots, experts);
}

// ---- the tokens' rows into panels: eight rows a block ----

extern "C" __global__ void __launch_bounds__(256)
    lay_out(const char* x, const int* sorted, const int* table, char* panels, long long top_k, long long hidden,
            long long experts, long long rows) {
#if PDL
  coppice_launch_dependents();
  coppice_wait_for_previous();
#endif
  const int row = blockIdx.x * 8 + threadIdx.x / 8 % 8, part = threadIdx.x % 8, panel = threadIdx.x / 64;
  const int slot = row < table[experts] ? sorted[row] : -1;
  if (slot < 0) {
    return;
  }
  const char* from = x + (slot / static_cast<int>(top_k)) * hidden * 2 + part * 16;
  char* to = panels + row * 128ll + (part ^ row % 8) * 16;
  const int count = static_cast<int>(hidden / 64);
#pragma unroll 8
  for (int p = panel; p < count; p += 4) {
    uint4 v;
    coppice_read(v, from + p * 128);
    *reinterpret_cast<uint4*>(to + p * (rows * 128)) = v;
  }
}

// ---- the grouped products ----

struct Work {
  int expert, row_block;
  int first, count;  // its tokens' rows in a panel
};

template <class P>
static __device__ __forceinline__ int all_tiles(const Table& table, const Sizes& s) {
  return (P::kUp ? table.tiles_up : table.tiles_down)[s.experts] * P::row_blocks(s);
}

template <class P>
static __device__ __forceinline__ Work find_work(const Table& table, const Sizes& s, int tile) {
  const int each = P::row_blocks(s);
  const int* tiles = P::kUp ? table.tiles_up : table.tiles_down;
  const int column_tile = tile / each;
  int low = 0, high = s.experts;  // the last expert that starts at or before it
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (tiles[middle] <= column_tile ? low : high) = middle;
  }
  // Neighbours share the weights: all column tiles of one block of rows follow each other.
  const int local = tile - tiles[low] * each, of_expert = tiles[low + 1] - tiles[low];
  const int column = local % of_expert * SHARE + static_cast<int>(blockIdx.x) % SHARE, count = table.count[low];
  const int parts = of_expert * SHARE, width = ((count + parts - 1) / parts + 7) / 8 * 8;
  Work w;
  w.expert = low;
  w.row_block = local / of_expert;
  w.first = table.start[low] + column * width;
  w.count = max(0, min(width, count - column * width));
  return w;
}

// The thread that feeds the ring.
template <class P>
static __device__ __forceinline__ void feed(const Ring& ring, const Table& table, const Sizes& sizes,
                                            const char* panels, const coppice_tensor_map& weights) {
  const coppice_u64 often = coppice_evict_normal();
#if EVICT_FIRST
  const coppice_u64 once = coppice_evict_first();
#else
  const coppice_u64 once = often;
#endif
  const int total = all_tiles<P>(table, sizes), steps = P::steps(sizes);
  const long long panel_bytes = sizes.rows * 128ll;
  int stage = 0, phase = 1;
  const int mine = static_cast<int>(blockIdx.x) % SHARE * (P::kBoxes / SHARE);
  for (int tile = blockIdx.x / SHARE; tile < total; tile += gridDim.x / SHARE) {
    const Work w = find_work<P>(table, sizes, tile);
    const char* from = panels + w.first * 128ll;
    const int bytes = (w.count + 7) / 8 * 1024;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      const coppice_u32 to = ring.stages + stage * P::kStageBytes, full = ring.full + 8 * stage;
#if SHARE > 1
      coppice_barrier_wait_cluster(ring.empty + 8 * stage, phase);  // in both blocks
#else
      coppice_barrier_wait(ring.empty + 8 * stage, phase);
#endif
      coppice_barrier_expect(full, P::kWeightBytes + bytes);
#pragma unroll
      for (int i = 0; i < P::kBoxes / SHARE; ++i) {
        fetch_box<P>(to, weights, full, w, step * 64, mine + i, sizes, once);
      }
      if (SHARE == 1 || bytes > 0) {
        coppice_bulk_policy(to + P::kWeightBytes, from, bytes, full, often);
      }
      from += panel_bytes;
      if (++stage == P::kStages) {
        stage = 0;
        phase ^= 1;
      }
    }
  }
}

// Gate and up of one index lie in one thread, as do their neighbours in the other slab.
template <class P, int kWidth>
static __device__ __forceinline__ void store_inner(const float (&d)[P::kRowTiles][kWidth / 2], const Work& w,
                                                   const Sizes& sizes, char* inner, int lane) {
  const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4;
  const int index = ((w.row_block * 2 + group) * 4 + warp) * (8 * P::kRowTiles);
  if (index >= sizes.inter) {
    return;
  }
  // Where this thread's neighbours lie: two or four indices, at the swizzled place in the row's 128 bytes.
  const int mine = index % 64 + lane % 4 * (2 * P::kRowTiles), row = lane / 4;
  char* to = inner + (index / 64 * static_cast<long long>(sizes.rows) + w.first + row) * 128 +
             (mine / 8 ^ row) * 16 + mine % 8 * 2;
#pragma unroll
  for (int j = 0; j < kWidth / 8; ++j) {
    coppice_u32 pairs[P::kRowTiles];
#pragma unroll
    for (int m = 0; m < P::kRowTiles; ++m) {
      const float(&v)[kWidth / 2] = d[m];
      pairs[m] = coppice_transpose(coppice_pack(gated(v[4 * j], v[4 * j + 2]), gated(v[4 * j + 1], v[4 * j + 3])));
    }
    if (8 * j + row < w.count) {
      if constexpr (P::kRowTiles == 2) {
        coppice_write(to + j * 1024, make_uint2(pairs[0], pairs[1]));
      } else {
        *reinterpret_cast<coppice_u32*>(to + j * 1024) = pairs[0];
      }
    }
  }
}

// Parts lie in the order of the rows: here nothing is looked up.
template <class P, int kWidth>
static __device__ __forceinline__ void store_parts(const float (&d)[kWidth / 2], const Work& w, int slab,
                                                   const Sizes& sizes, coppice_bf16* parts, int lane) {
  const int row = w.row_block * P::kTileRows + slab * 16;
  if (row >= sizes.hidden) {
    return;
  }
  coppice_bf16* to = parts + (w.first + lane / 4) * static_cast<long long>(sizes.hidden) + row + lane % 4 * 4;
#pragma unroll
  for (int j = 0; j < kWidth / 8; ++j, to += 8 * sizes.hidden) {
    const coppice_u32 low = coppice_transpose(coppice_pack(d[4 * j], d[4 * j + 1]));
    const coppice_u32 high = coppice_transpose(coppice_pack(d[4 * j + 2], d[4 * j + 3]));
    if (8 * j + lane / 4 < w.count) {
      coppice_write(to, make_uint2(low, high));
    }
  }
}

template <class P, int kWidth>
static __device__ __forceinline__ void multiply(const Ring& ring, Reader& at, const Work& w,
                                                const Sizes& sizes, void* result) {
  const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4, steps = P::steps(sizes);
  int lane = threadIdx.x % 32;
  float acc[P::kRowTiles][kWidth / 2];  // set here: else each width's would live through all tiles
#pragma unroll
  for (int m = 0; m < P::kRowTiles; ++m) {
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) {
      acc[m][i] = 0.0f;
    }
  }
  int before = 0;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
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
    if (step > 0) {
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
  const Work done{w.expert, w.row_block, from, w.count};
  if constexpr (P::kUp == 1) {
    store_inner<P, kWidth>(acc, done, sizes, static_cast<char*>(result), lane);
  } else {
#pragma unroll
    for (int m = 0; m < P::kRowTiles; ++m) {
      const int slab = (group * P::kRowTiles + m) * 4 + warp;
      store_parts<P, kWidth>(acc[m], done, slab, sizes, static_cast<coppice_bf16*>(result), lane);
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
static __device__ __forceinline__ void run(const char* panels, const int* lists, void* result, const Sizes& sizes,
                                           const coppice_tensor_map& weights, unsigned char* shared) {
  Ring ring;
  ring.stages = (coppice_shared(shared) + kAlign - 1) / kAlign * kAlign;
  ring.full = ring.stages + P::kStages * P::kStageBytes;
  ring.empty = ring.full + 8 * P::kStages;
  int* own = reinterpret_cast<int*>(shared + (ring.empty + 8 * P::kStages - coppice_shared(shared)));
  if (threadIdx.x == 0) {
    for (int i = 0; i < P::kStages; ++i) {
      coppice_barrier_init(ring.full + 8 * i, 1);
      coppice_barrier_init(ring.empty + 8 * i, 8 * SHARE);
    }
    coppice_barrier_fence();
    coppice_prefetch_map(weights);
  }
#if PDL
  coppice_launch_dependents();
  coppice_wait_for_previous();
#endif
  for (int i = threadIdx.x; i < 4 * (sizes.experts + 1); i += kThreads) {
    own[i] = lists[i];
  }
#if SHARE > 1
  coppice_cluster_sync();  // all barriers are there
#endif
  __syncthreads();
  const Table table(own, sizes.experts);
  if (threadIdx.x < 128) {
    coppice_give_registers<40>();
    if (threadIdx.x == 0) {
      asm volatile("fence.proxy.async.global;" ::: "memory");  // ordinary stores wrote the panels
      feed<P>(ring, table, sizes, panels, weights);
    }
    leave();
  } else {
    coppice_take_registers<232>();
    Reader at;
    const int total = all_tiles<P>(table, sizes);
    for (int tile = blockIdx.x / SHARE; tile < total; tile += gridDim.x / SHARE) {
      multiply_fitting<P, NARROWEST>(ring, at, find_work<P>(table, sizes, tile), sizes, result);
    }
    leave();
  }
}

static __device__ __forceinline__ Sizes sizes_of(long long tokens, long long top_k, long long hidden,
                                                 long long inter, long long experts, long long rows) {
  return {static_cast<int>(tokens), static_cast<int>(top_k),   static_cast<int>(hidden),
          static_cast<int>(inter),  static_cast<int>(experts), static_cast<int>(rows)};
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
    gate_up(const char* panels, const int* table, char* inner, long long tokens,
            long long top_k, long long hidden, long long depth, long long experts, long long rows,
            const __grid_constant__ coppice_tensor_map weights) {
  extern __shared__ __align__(1024) unsigned char shared[];
  run<Product<true>>(panels, table, inner, sizes_of(tokens, top_k, hidden, depth, experts, rows), weights,
                     shared);
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
    down(const char* inner, const int* table, coppice_bf16* parts, long long tokens,
         long long top_k, long long hidden, long long depth, long long experts, long long rows,
         const __grid_constant__ coppice_tensor_map weights) {
  extern __shared__ __align__(1024) unsigned char shared[];
  run<Product<false>>(inner, table, parts, sizes_of(tokens, top_k, hidden, depth, experts, rows), weights,
                      shared);
}

// ---- the weighted sum: eight neighbouring elements a thread ----

extern "C" __global__ void __launch_bounds__(128)
    merge(const coppice_bf16* parts, const int* place, const float* routing, coppice_bf16* out, long long top_k, long long hidden) {
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
    const uint4 v = *reinterpret_cast<const uint4*>(parts + place[slot] * hidden + d);
    const coppice_u32 words[4] = {v.x, v.y, v.z, v.w};
    const float weight = routing[slot];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sum[2 * i] += weight * coppice_low(words[i]);
      sum[2 * i + 1] += weight * coppice_high(words[i]);
    }
  }
  *reinterpret_cast<uint4*>(out + token * hidden + d) =
      make_uint4(coppice_pack(sum[0], sum[1]), coppice_pack(sum[2], sum[3]), coppice_pack(sum[4], sum[5]),
                 coppice_pack(sum[6], sum[7]));
}
