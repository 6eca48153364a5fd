// Block-scaled mixture of experts as two streams of e4m3 weights: one kernel chooses experts, one sorts
// the slots; then resident blocks share out (expert, rows, tokens) tiles. A thread brings boxes of
// weights into a ring, a warp the tokens' rows, the others widen weights to f16 (which is exact) and
// multiply on tensor cores, weights as the 16-row operand; each block of 128 products gets its scales in
// f32. The inner state is kept as f16. The second product's weights are on their way before the first
// product has ended.
#include "coppice_hopper.cuh"

constexpr int kRows = 32 * ROW_TILES;  // of weights in a tile; a warp computes 32 of them
constexpr int kHalf = 16 * ROW_TILES;  // of the first product: what is gated, then the gate
constexpr int kColumns = 8 * TOKEN_TILES;
constexpr int kBlocks = CHUNK / 128;  // that have a scale, of a stage
constexpr int kWeights = kRows * CHUNK;
constexpr int kGroups = WARPS / ROW_TILES;  // warps that share the blocks of the same rows
constexpr int kMine = kBlocks / kGroups;
constexpr int kSumPitch = kColumns + 1;
constexpr int kThreads = (WARPS + 2) * 32;
constexpr int kTogether = TOKEN_TILES < 2 ? 1 : 2;  // token tiles whose products are under way at once
constexpr int kSorters = 1024;
constexpr float kLog2e = 1.4426950408889634f;

static __device__ __forceinline__ void consumers_meet() {
  asm volatile("bar.sync 1, %0;" ::"n"(WARPS * 32) : "memory");
}
// Two e4m3, exactly, as two f16.
static __device__ __forceinline__ coppice_u32 widen_pair(coppice_u32 pair) {
  coppice_u32 out;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(out) : "h"(static_cast<coppice_u16>(pair)));
  return out;
}
static __device__ __forceinline__ coppice_u16 to_f16(float x) {
  coppice_u16 out;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out) : "f"(fminf(fmaxf(x, -65504.0f), 65504.0f)));
  return out;
}
static __device__ __forceinline__ void multiply_f16(float (&d)[4], const coppice_u32 (&a)[4], coppice_u32 b0,
                                                    coppice_u32 b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
static __device__ __forceinline__ uint2 load_shared_pair(coppice_u32 from) {
  uint2 v;
  asm volatile("ld.shared.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(from) : "memory");
  return v;
}

// ---- the choice: a warp a token, lane e % 32 has expert e of each group of 32 ----

static __device__ __forceinline__ float largest_of_warp(float x) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    x = fmaxf(x, __shfl_xor_sync(~0u, x, d));
  }
  return x;
}

extern "C" __global__ void __launch_bounds__(128)
    choose(const float* logits, const coppice_bf16* bias, int* chosen, float* weights, float factor) {
  constexpr float kOut = -3e38f;
  const int lane = threadIdx.x % 32, token = blockIdx.x * 4 + threadIdx.x / 32;
#if PDL
  coppice_launch_dependents();
#endif
  if (token >= TOKENS) {
    return;
  }
  float score[GROUPS], biased[GROUPS], group[GROUPS];
#pragma unroll
  for (int g = 0; g < GROUPS; ++g) {
    score[g] = 1.0f / (1.0f + coppice_exp2(-kLog2e * logits[token * (GROUPS * 32ll) + g * 32 + lane]));
    biased[g] = score[g] + coppice_widen(bias[g * 32 + lane]);
    const float top = largest_of_warp(biased[g]);
    const int holder = __ffs(__ballot_sync(~0u, biased[g] == top)) - 1;
    group[g] = top + largest_of_warp(lane == holder ? kOut : biased[g]);
  }
#pragma unroll
  for (int i = 0; i < KEPT_GROUPS; ++i) {  // all lanes know the same
    int best = 0;
    float most = group[0];
#pragma unroll
    for (int g = 1; g < GROUPS; ++g) {
      best = group[g] > most ? g : best;
      most = fmaxf(most, group[g]);
    }
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
      group[g] = g == best ? kOut : group[g];
    }
  }
  int my_expert = -1;
  float my_score = 0.0f, sum = 1e-20f;
#pragma unroll 1
  for (int j = 0; j < TOP_K; ++j) {
    float most = kOut;
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
      most = fmaxf(most, group[g] == kOut ? biased[g] : kOut);
    }
    most = largest_of_warp(most);
    int expert = -1;
    float its_score = 0.0f;
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
      const unsigned holders = __ballot_sync(~0u, group[g] == kOut && biased[g] == most);
      if (expert < 0 && holders != 0) {
        const int holder = __ffs(holders) - 1;
        expert = g * 32 + holder;
        its_score = __shfl_sync(~0u, score[g], holder);
        biased[g] = lane == holder ? kOut : biased[g];
      }
    }
    my_expert = lane == j ? expert : my_expert;
    my_score = lane == j ? its_score : my_score;
    sum += its_score;
  }
  if (lane < TOP_K) {
    const int local = my_expert - FIRST_EXPERT;
    chosen[token * TOP_K + lane] = local >= 0 && local < EXPERTS ? local : -1;
    weights[token * TOP_K + lane] = my_score / sum * factor;
  }
}

// ---- the sort: one block; table: where each local expert's slots start, and how many passes of
// kColumns slots are before it ----

extern "C" __global__ void __launch_bounds__(kSorters)
    sort(const int* chosen, int* table, int* token_of, int* place_of) {
  __shared__ int next[EXPERTS];
  for (int e = threadIdx.x; e < EXPERTS; e += kSorters) {
    next[e] = 0;
  }
#if PDL
  coppice_launch_dependents();
  coppice_wait_for_previous();
#endif
  __syncthreads();
#pragma unroll 8
  for (int slot = threadIdx.x; slot < TOKENS * TOP_K; slot += kSorters) {
    const int expert = chosen[slot];
    if (expert >= 0) {
      atomicAdd(&next[expert], 1);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    int start = 0, passes = 0;
    for (int e = 0; e < EXPERTS; ++e) {
      const int count = next[e];
      table[e] = next[e] = start;
      table[EXPERTS + 1 + e] = passes;
      start += count;
      passes += (count + kColumns - 1) / kColumns;
    }
    table[EXPERTS] = start;
    table[2 * EXPERTS + 1] = passes;
  }
  __syncthreads();
#pragma unroll 8
  for (int slot = threadIdx.x; slot < TOKENS * TOP_K; slot += kSorters) {
    const int expert = chosen[slot], place = expert >= 0 ? atomicAdd(&next[expert], 1) : -1;
    place_of[slot] = place;
    if (place >= 0) {
      token_of[place] = slot / TOP_K;
    }
  }
}

// ---- the products ----

struct Map {
  int start[EXPERTS + 1], passes[EXPERTS + 1];
};
struct Tile {
  int expert, row, begin, columns;  // begin: the place of its first slot
};
struct Ring {
  coppice_u32 weights, tokens, full, empty;
};
struct Place {
  int stage = 0, phase;
  __device__ __forceinline__ explicit Place(int first_phase) : phase(first_phase) {}
  __device__ __forceinline__ void advance() {
    if (++stage == STAGES) {
      stage = 0;
      phase ^= 1;
    }
  }
};

// One of the two products: where its rows and scales lie. Tile rows are two halves of kHalf.
struct First {
  enum : int { kInner = HIDDEN, kRowTiles = INTER / kHalf, kPitch = CHUNK + 16, kIsFirst = 1 };
  static __device__ __forceinline__ int weight_row(const Tile& tile, int half) {
    return (tile.expert * 2 + half) * INTER + tile.row * kHalf;
  }
};
struct Second {
  enum : int { kInner = INTER, kRowTiles = HIDDEN / kRows, kPitch = 2 * CHUNK + 32, kIsFirst = 0 };
  static __device__ __forceinline__ int weight_row(const Tile& tile, int half) {
    return tile.expert * HIDDEN + tile.row * kRows + half * kHalf;
  }
};

static __device__ __forceinline__ Tile tile_of(const Map& map, int t, int row_tiles) {
  int low = 0, high = EXPERTS;  // the last expert that starts at or before it
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (map.passes[middle] * row_tiles <= t ? low : high) = middle;
  }
  const int passes = map.passes[low + 1] - map.passes[low], rest = t - map.passes[low] * row_tiles;
  const int done = rest % passes * kColumns;  // neighbours share the weights
  return {low, rest / passes, map.start[low] + done,
          min(map.start[low + 1] - map.start[low] - done, kColumns)};
}

// Calls visit(tile, chunk, place) for all of this block's chunks in order.
template <class Product, class Visit>
static __device__ __forceinline__ void each_chunk(const Map& map, Visit visit) {
  Place place(1);
  const int tiles = map.passes[EXPERTS] * Product::kRowTiles;
  for (int t = blockIdx.x; t < tiles; t += gridDim.x) {
    const Tile tile = tile_of(map, t, Product::kRowTiles);
    for (int chunk = 0; chunk < (Product::kInner + CHUNK - 1) / CHUNK; ++chunk, place.advance()) {
      visit(tile, chunk, place);
    }
  }
}

template <class Product>
static __device__ __forceinline__ void send_weights(const Map& map, const coppice_tensor_map& weights,
                                                    const Ring& ring) {
#ifdef POLICY_EVICT_FIRST
  const coppice_u64 policy = coppice_evict_first();
#else
  const coppice_u64 policy = coppice_evict_normal();
#endif
  each_chunk<Product>(map, [&](const Tile& tile, int chunk, const Place& place) {
    const coppice_u32 full = ring.full + 8 * place.stage, to = ring.weights + place.stage * kWeights;
    coppice_barrier_wait(ring.empty + 8 * place.stage, place.phase);
    coppice_barrier_expect(full, kWeights);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      coppice_copy_solid(to + half * (kWeights / 2), weights, 0, Product::weight_row(tile, half),
                         chunk * kBlocks, full, policy);
    }
  });
}

template <class Product>
static __device__ __forceinline__ void send_tokens(const Map& map, const char* rows, const int* token_of,
                                                   const Ring& ring) {
  constexpr int kBytes = Product::kIsFirst ? 1 : 2;  // of an element
  const int lane = threadIdx.x % 32;
  each_chunk<Product>(map, [&](const Tile& tile, int chunk, const Place& place) {
    const coppice_u32 to = ring.tokens + place.stage * (kColumns * Product::kPitch);
    const int bytes = min(CHUNK, Product::kInner - chunk * CHUNK) * kBytes;
    coppice_barrier_wait(ring.empty + 8 * place.stage, place.phase);
    for (int column = 0; column < tile.columns; ++column) {
      const int slot = tile.begin + column;
      const char* from = rows + (static_cast<long long>(Product::kIsFirst ? token_of[slot] : slot) * Product::kInner + chunk * CHUNK) * kBytes;
      for (int at = lane * 16; at < bytes; at += 512) {
        coppice_copy16(to + column * Product::kPitch + at, from + at);
      }
    }
    coppice_barrier_arrive_when_copied(ring.full + 8 * place.stage);
  });
  coppice_wait_copies<0>();
}

// What a thread knows of the scales: of weights by half of the rows, of tokens by column.
template <class Product>
struct Scales {
  const float* weights[2];
  const float* tokens[TOKEN_TILES][2];

  __device__ __forceinline__ Scales(const Tile& tile, const float* weight_scales, const float* token_scales,
                                    const int* token_of) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      weights[half] = weight_scales + Product::weight_row(tile, half) / 128 * (Product::kInner / 128);
    }
#pragma unroll
    for (int n = 0; n < TOKEN_TILES; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int column = min(n * 8 + lane % 4 * 2 + i, tile.columns - 1);
        tokens[n][i] = Product::kIsFirst ? token_scales + token_of[tile.begin + column] : nullptr;
      }
    }
  }
};

// The weights of one scaled block, widened: 32 rows by 128, as eight operands of 16 for each half.
static __device__ __forceinline__ void load_weights(coppice_u32 (&a)[2][8][4], coppice_u32 block, int row) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      coppice_u32 raw[4];
      const int sixteen = 2 * s + lane / 16;
      coppice_ldmatrix(raw, block + half * (kWeights / 2) + row * 128 + ((sixteen ^ row) & 7) * 16);
#pragma unroll
      for (int i = 0; i < 2; ++i) {  // elements 4 q .. 4 q + 3 stand for the operand's 2 q, 2 q + 1 and + 8
        a[half][2 * s + i][0] = widen_pair(raw[2 * i]);
        a[half][2 * s + i][1] = widen_pair(raw[2 * i + 1]);
        a[half][2 * s + i][2] = widen_pair(raw[2 * i] >> 16);
        a[half][2 * s + i][3] = widen_pair(raw[2 * i + 1] >> 16);
      }
    }
  }
}

// Eight tokens by 128, in the same order.
template <class Product>
static __device__ __forceinline__ void load_tokens(coppice_u32 (&b)[8][2], coppice_u32 tokens) {
  const int lane = threadIdx.x % 32;
  if constexpr (Product::kIsFirst) {
#pragma unroll
    for (int s = 0; s < 2; ++s) {
      coppice_u32 raw[4];
      coppice_ldmatrix(raw, tokens + lane % 8 * Product::kPitch + (4 * s + lane / 8) * 16);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        b[4 * s + i][0] = widen_pair(raw[i]);
        b[4 * s + i][1] = widen_pair(raw[i] >> 16);
      }
    }
  } else {
#pragma unroll
    for (int s = 0; s < 8; ++s) {
      const uint2 four = load_shared_pair(tokens + lane / 4 * Product::kPitch + (16 * s + lane % 4 * 4) * 2);
      b[s][0] = four.x;
      b[s][1] = four.y;
    }
  }
}

template <class Product>
static __device__ __forceinline__ void multiply(float (&acc)[2][TOKEN_TILES][4], const Ring& ring,
                                                const Tile& tile, const Scales<Product>& scales, Place& place,
                                                int warp) {
  const int group = warp / ROW_TILES, row = warp % ROW_TILES * 16 + threadIdx.x % 16;
  const int used = (tile.columns + 7) / 8;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int n = 0; n < TOKEN_TILES; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        acc[half][n][i] = 0.0f;
      }
    }
  }
  for (int chunk = 0; chunk < (Product::kInner + CHUNK - 1) / CHUNK; ++chunk, place.advance()) {
    float of_weights[kMine][2], of_tokens[kMine][TOKEN_TILES][2];
#pragma unroll
    for (int i = 0; i < kMine; ++i) {  // before the wait: they come from afar
      const int block = min(chunk * kBlocks + i * kGroups + group, Product::kInner / 128 - 1);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        of_weights[i][half] = __ldg(scales.weights[half] + block);
#pragma unroll
        for (int n = 0; n < TOKEN_TILES; ++n) {
          of_tokens[i][n][half] = 1.0f;
          if constexpr (Product::kIsFirst) {
            of_tokens[i][n][half] = __ldg(scales.tokens[n][half] + block * TOKENS);
          }
        }
      }
    }
    coppice_barrier_wait(ring.full + 8 * place.stage, place.phase);
#pragma unroll
    for (int i = 0; i < kMine; ++i) {
      const int block = i * kGroups + group;
      if (Product::kInner % CHUNK != 0 && chunk * kBlocks + block >= Product::kInner / 128) {
        break;
      }
      coppice_u32 a[2][8][4];
      load_weights(a, ring.weights + place.stage * kWeights + block * (kHalf * 128), row);
#pragma unroll
      for (int n = 0; n < TOKEN_TILES; n += kTogether) {
        if (n < used) {
          float part[kTogether][2][4] = {};
          coppice_u32 b[kTogether][8][2];
#pragma unroll
          for (int m = 0; m < kTogether; ++m) {
            load_tokens<Product>(b[m], ring.tokens + place.stage * (kColumns * Product::kPitch) + (n + m) * 8 * Product::kPitch + block * (Product::kIsFirst ? 128 : 256));
          }
#pragma unroll
          for (int s = 0; s < 8; ++s) {
#pragma unroll
            for (int m = 0; m < kTogether; ++m) {
              multiply_f16(part[m][0], a[0][s], b[m][s][0], b[m][s][1]);
              multiply_f16(part[m][1], a[1][s], b[m][s][0], b[m][s][1]);
            }
          }
#pragma unroll
          for (int m = 0; m < kTogether; ++m) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
#pragma unroll
              for (int j = 0; j < 4; ++j) {
                acc[half][n + m][j] += part[m][half][j] * (of_weights[i][half] * of_tokens[i][n + m][j % 2]);
              }
            }
          }
        }
      }
    }
    __syncwarp();
    if (threadIdx.x % 32 == 0) {
      coppice_barrier_arrive(ring.empty + 8 * place.stage);
    }
  }
}

// sums[group][row][column] for all rows of the tile.
static __device__ __forceinline__ void spill(const float (&acc)[2][TOKEN_TILES][4], float* sums, int warp) {
  const int lane = threadIdx.x % 32, first = warp / ROW_TILES * kRows + warp % ROW_TILES * 16;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int n = 0; n < TOKEN_TILES; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = half * kHalf + lane / 4 + i / 2 * 8, column = n * 8 + 2 * (lane % 4) + i % 2;
        sums[(first + row) * kSumPitch + column] = acc[half][n][i];
      }
    }
  }
}
static __device__ __forceinline__ float total(const float* sums, int row, int column) {
  float sum = 0.0f;
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    sum += sums[(g * kRows + row) * kSumPitch + column];
  }
  return sum;
}

// Ring, barriers and sums in dynamic shared memory, from an address on that the swizzle wants.
template <class Product>
static __device__ __forceinline__ Ring make_ring(unsigned char*& shared) {
  shared += (1024 - coppice_shared(shared) % 1024) % 1024;
  const coppice_u32 weights = coppice_shared(shared), tokens = weights + STAGES * kWeights;
  const coppice_u32 full = tokens + STAGES * (kColumns * Product::kPitch);
  const Ring ring{weights, tokens, full, full + 8 * STAGES};
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
      coppice_barrier_init(ring.full + 8 * i, 1 + 32);
      coppice_barrier_init(ring.empty + 8 * i, WARPS);
    }
    coppice_barrier_fence();
  }
  shared += ring.empty + 8 * STAGES - weights;
  return ring;
}

static __device__ __forceinline__ void read_map(Map& map, const int* table) {
  for (int i = threadIdx.x; i <= EXPERTS; i += kThreads) {
    map.start[i] = table[i];
    map.passes[i] = table[EXPERTS + 1 + i];
  }
  __syncthreads();
}

extern "C" __global__ void __launch_bounds__(kThreads)
    gate_up(const char* states, const float* state_scales,
            const __grid_constant__ coppice_tensor_map weights, const float* weight_scales,
            const int* table, const int* token_of, coppice_u16* inner) {
  extern __shared__ __align__(1024) unsigned char dynamic[];
  __shared__ Map map;
  unsigned char* shared = dynamic;
  const int warp = threadIdx.x / 32;
  const Ring ring = make_ring<First>(shared);
  float* sums = reinterpret_cast<float*>(shared);
#if PDL
  coppice_wait_for_previous();
  coppice_launch_dependents();  // not before: the next kernel reads the table without a wait of its own
#endif
  read_map(map, table);
  if (warp == WARPS) {
    send_tokens<First>(map, states, token_of, ring);
  } else if (warp == WARPS + 1) {
    if (threadIdx.x % 32 == 0) {
      send_weights<First>(map, weights, ring);
    }
  } else {
    Place place(0);
    for (int t = blockIdx.x; t < map.passes[EXPERTS] * First::kRowTiles; t += gridDim.x) {
      const Tile tile = tile_of(map, t, First::kRowTiles);
      float acc[2][TOKEN_TILES][4];
      multiply(acc, ring, tile, Scales<First>(tile, weight_scales, state_scales, token_of), place, warp);
      consumers_meet();
      spill(acc, sums, warp);
      consumers_meet();
      for (int i = threadIdx.x; i < kHalf * tile.columns; i += WARPS * 32) {
        const int row = i % kHalf, column = i / kHalf;
        const float value = total(sums, row, column), gate = total(sums, kHalf + row, column);
        inner[static_cast<long long>(tile.begin + column) * INTER + tile.row * kHalf + row] =
            to_f16(value * gate / (1.0f + coppice_exp2(-kLog2e * gate)));
      }
    }
  }
}

extern "C" __global__ void __launch_bounds__(kThreads)
    down(const char* inner, const __grid_constant__ coppice_tensor_map weights, const float* weight_scales,
         const int* table, float* parts) {
  extern __shared__ __align__(1024) unsigned char dynamic[];
  __shared__ Map map;
  unsigned char* shared = dynamic;
  const int warp = threadIdx.x / 32;
  const Ring ring = make_ring<Second>(shared);
  float* sums = reinterpret_cast<float*>(shared);
#if PDL
  coppice_launch_dependents();
#endif
  read_map(map, table);
  if (warp == WARPS + 1) {  // the weights are not the first product's business
    if (threadIdx.x % 32 == 0) {
      send_weights<Second>(map, weights, ring);
    }
    return;
  }
#if PDL
  coppice_wait_for_previous();
#endif
  if (warp == WARPS) {
    send_tokens<Second>(map, inner, nullptr, ring);
    return;
  }
  Place place(0);
  for (int t = blockIdx.x; t < map.passes[EXPERTS] * Second::kRowTiles; t += gridDim.x) {
    const Tile tile = tile_of(map, t, Second::kRowTiles);
    float acc[2][TOKEN_TILES][4];
    multiply(acc, ring, tile, Scales<Second>(tile, weight_scales, nullptr, nullptr), place, warp);
    consumers_meet();
    spill(acc, sums, warp);
    consumers_meet();
    for (int i = threadIdx.x; i < kRows * tile.columns; i += WARPS * 32) {
      const int row = i % kRows, column = i / kRows;
      parts[static_cast<long long>(tile.begin + column) * HIDDEN + tile.row * kRows + row] =
          total(sums, row, column);
    }
  }
}

// ---- the weighted sum: four neighbours a thread ----

extern "C" __global__ void __launch_bounds__(128)
    merge(const float4* parts, const int* place_of, const float* weights, uint2* out) {
#if PDL
  coppice_wait_for_previous();
#endif
  const int token = blockIdx.y, i = blockIdx.x * 128 + threadIdx.x;
  if (i >= HIDDEN / 4) {
    return;
  }
  float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
  for (int j = 0; j < TOP_K; ++j) {
    const int place = place_of[token * TOP_K + j];
    if (place >= 0) {
      const float weight = weights[token * TOP_K + j];
      const float4 one = parts[static_cast<long long>(place) * (HIDDEN / 4) + i];
      sum.x += weight * one.x;
      sum.y += weight * one.y;
      sum.z += weight * one.z;
      sum.w += weight * one.w;
    }
  }
  out[static_cast<long long>(token) * (HIDDEN / 4) + i] =
      make_uint2(coppice_pack(sum.x, sum.y), coppice_pack(sum.z, sum.w));
}
