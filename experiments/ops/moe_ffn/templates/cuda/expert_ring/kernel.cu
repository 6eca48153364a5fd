// Mixture of experts as two streams of weights: resident blocks share out (expert, rows, tokens)
// tiles; some warps copy weight rows into a shared ring, one the tokens' rows, the others multiply on
// tensor cores, weights as the 16-row operand. The second product's weights are on their
// way before the first product has ended; its last block of each row adds the experts up.
#include "coppice_cuda.cuh"

constexpr int kRows = 32 * ROW_TILES;  // of weights in a tile; a warp computes 32 of them
constexpr int kColumns = 8 * TOKEN_TILES;
constexpr int kSlots = TOKENS * TOP_K;  // (token, choice) pairs
constexpr int kPitch = CHUNK * 2 + 16;  // rows start in different banks
constexpr int kStage = (kRows + kColumns) * kPitch;
constexpr int kGroups = WARPS / ROW_TILES;  // warps that share the inner dimension of the same rows
constexpr int kSumPitch = kColumns + 1;
constexpr int kThreads = (WARPS + PRODUCERS + 1) * 32;
constexpr float kLog2e = 1.4426950408889634f;

// Who goes where: expert e has member[first[e] .. first[e + 1]) and tiles[e] .. tiles[e + 1].
struct Map {
  int first[EXPERTS + 1], tiles[EXPERTS + 1], next[EXPERTS];
  int member[kSlots], expert[kSlots];
};
struct Tile {
  int expert, row, begin, columns;
};

static __device__ __forceinline__ void consumers_meet() {
  asm volatile("bar.sync 1, %0;" ::"n"(WARPS * 32) : "memory");
}
static __device__ __forceinline__ void barrier_arrive(coppice_u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// One arrival of this thread when all copies that it has sent so far have landed.
static __device__ __forceinline__ void arrive_when_copied(coppice_u32 barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

static __device__ __forceinline__ int passes_of(int members) {
  return (members + kColumns - 1) / kColumns;
}

// All threads take part. The order of an expert's members is that of their slots, so that every
// block has the same idea of each pass.
static __device__ __forceinline__ void make_map(Map& map, const int* ids, int row_tiles) {
  for (int e = threadIdx.x; e < EXPERTS; e += blockDim.x) {
    map.next[e] = 0;
  }
  __syncthreads();
  for (int slot = threadIdx.x; slot < kSlots; slot += blockDim.x) {
    const int expert = ids[slot];
    map.expert[slot] = expert;
    atomicAdd(&map.next[expert], 1);
  }
  __syncthreads();
  if (threadIdx.x < 32) {
    const int lane = threadIdx.x;
    int members = 0, tiles = 0;
    for (int base = 0; base < EXPERTS; base += 32) {
      const int e = base + lane;
      const int count = e < EXPERTS ? map.next[e] : 0;
      const int mine = passes_of(count) * row_tiles;
      int members_to = count, tiles_to = mine;
#pragma unroll
      for (int d = 1; d < 32; d <<= 1) {
        const int a = __shfl_up_sync(~0u, members_to, d), b = __shfl_up_sync(~0u, tiles_to, d);
        members_to += lane >= d ? a : 0;
        tiles_to += lane >= d ? b : 0;
      }
      if (e < EXPERTS) {
        map.first[e] = map.next[e] = members + members_to - count;
        map.tiles[e] = tiles + tiles_to - mine;
      }
      members += __shfl_sync(~0u, members_to, 31);
      tiles += __shfl_sync(~0u, tiles_to, 31);
    }
    if (lane == 0) {
      map.first[EXPERTS] = members;
      map.tiles[EXPERTS] = tiles;
    }
    __syncwarp();
    for (int base = 0; base < kSlots; base += 32) {
      const int slot = base + lane;
      const int expert = slot < kSlots ? map.expert[slot] : -1 - lane;
      const unsigned same = __match_any_sync(~0u, expert);
      const int place = slot < kSlots ? map.next[expert] + __popc(same & ((1u << lane) - 1)) : 0;
      __syncwarp();
      if (slot < kSlots) {
        map.member[place] = slot;
        if (__ffs(same) - 1 == lane) {
          map.next[expert] += __popc(same);
        }
      }
      __syncwarp();
    }
  }
  __syncthreads();
}

static __device__ __forceinline__ Tile tile_of(const Map& map, int t) {
  int low = 0, high = EXPERTS;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (map.tiles[middle] <= t) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const int members = map.first[low + 1] - map.first[low];
  const int passes = passes_of(members), rest = t - map.tiles[low];
  const int pass = rest % passes;
  return {low, rest / passes, map.first[low] + pass * kColumns, min(members - pass * kColumns, kColumns)};
}

// One of the two products: where its rows lie.
struct First {
  static constexpr int kInner = HIDDEN;
  static constexpr int kRowTiles = INTER / (kRows / 2);
  // Rows 0..15 of each 32 are the gate's, 16..31 those of the values that it gates.
  static __device__ __forceinline__ long long weight_row(const Tile& tile, int row) {
    const int inner = tile.row * (kRows / 2) + row / 32 * 16 + row % 16;
    return (static_cast<long long>(tile.expert) * 2 + row / 16 % 2) * INTER + inner;
  }
  static __device__ __forceinline__ long long token_row(int slot) { return slot / TOP_K; }
};
struct Second {
  static constexpr int kInner = INTER;
  static constexpr int kRowTiles = HIDDEN / kRows;
  static __device__ __forceinline__ long long weight_row(const Tile& tile, int row) {
    return static_cast<long long>(tile.expert) * HIDDEN + tile.row * kRows + row;
  }
  static __device__ __forceinline__ long long token_row(int slot) { return slot; }
};

struct Ring {
  coppice_u32 stages, full, empty;
};

// The chunks that this block works through, in order.
template <class Product>
struct Chunks {
  int t, base = 0;
  Tile tile;

  __device__ __forceinline__ explicit Chunks(const Map& map) : t(static_cast<int>(blockIdx.x)) {
    if (left(map)) {
      tile = tile_of(map, t);
    }
  }
  __device__ __forceinline__ bool left(const Map& map) const { return t < map.tiles[EXPERTS]; }
  __device__ __forceinline__ int bytes() const { return min(CHUNK, Product::kInner - base) * 2; }
  __device__ __forceinline__ void advance(const Map& map) {
    base += CHUNK;
    if (base >= Product::kInner) {
      base = 0;
      t += gridDim.x;
      if (left(map)) {
        tile = tile_of(map, t);
      }
    }
  }
};

struct Place {
  int stage = 0, phase = 1;
  __device__ __forceinline__ void advance() {
    if (++stage == STAGES) {
      stage = 0;
      phase ^= 1;
    }
  }
};

// Rows first, first + PRODUCERS, ... of each tile.
template <class Product>
static __device__ __forceinline__ void send_weights(const Map& map, const char* w, const Ring& ring,
                                                    int first, int lane) {
  Place place;
  for (Chunks<Product> at(map); at.left(map); at.advance(map), place.advance()) {
    const coppice_u32 full = ring.full + 8 * place.stage;
    const coppice_u32 to = ring.stages + place.stage * kStage;
    const int bytes = at.bytes();
    coppice_barrier_wait(ring.empty + 8 * place.stage, place.phase);
#ifdef LOAD_BULK
    if (lane == 0) {
      coppice_barrier_expect(full, kRows / PRODUCERS * bytes);
    }
    __syncwarp();
    for (int r = first * 32 + lane; r < kRows; r += 32 * PRODUCERS) {
      coppice_bulk(to + r * kPitch, w + Product::weight_row(at.tile, r) * (Product::kInner * 2) + at.base * 2,
                   bytes, full);
    }
#else
    // Rows lie one after the other within each 16 of them. Narrow chunks: a copy takes several rows.
    constexpr int kLanes = CHUNK * 2 / 16;
    constexpr int kAtOnce = kLanes < 32 ? 32 / kLanes : 1;
    const int row_in_copy = kLanes < 32 ? lane / kLanes : 0;
    const int column = kLanes < 32 ? lane % kLanes : lane;
#pragma unroll
    for (int sixteen = 0; sixteen < kRows; sixteen += 16) {
      const char* from = w + Product::weight_row(at.tile, sixteen) * (Product::kInner * 2) + at.base * 2;
#pragma unroll
      for (int r = 0; r < 16; r += kAtOnce * PRODUCERS) {
        const int row = r + first * kAtOnce + row_in_copy;
#pragma unroll
        for (int c = 0; c < (kLanes + 31) / 32; ++c) {
          const int at_byte = (c * 32 + column) * 16;
          if (at_byte < bytes) {
            coppice_copy16(to + (sixteen + row) * kPitch + at_byte,
                           from + row * (Product::kInner * 2) + at_byte);
          }
        }
      }
    }
    arrive_when_copied(full);
#endif
  }
  coppice_wait_copies<0>();
}

template <class Product>
static __device__ __forceinline__ void send_tokens(const Map& map, const char* x, const Ring& ring,
                                                   int lane) {
  Place place;
  for (Chunks<Product> at(map); at.left(map); at.advance(map), place.advance()) {
    const coppice_u32 to = ring.stages + place.stage * kStage + kRows * kPitch;
    const int bytes = at.bytes();
    coppice_barrier_wait(ring.empty + 8 * place.stage, place.phase);
    for (int column = 0; column < at.tile.columns; ++column) {
      const char* from = x + Product::token_row(map.member[at.tile.begin + column]) * (Product::kInner * 2) +
                         at.base * 2;
#pragma unroll
      for (int c = 0; c < (CHUNK * 2 + 511) / 512; ++c) {
        const int at_byte = (c * 32 + lane) * 16;
        if (at_byte < bytes) {
          coppice_copy16(to + column * kPitch + at_byte, from + at_byte);
        }
      }
    }
    arrive_when_copied(ring.full + 8 * place.stage);
  }
  coppice_wait_copies<0>();
}

// Multiplies one tile; the sums over this warp's share of the inner dimension stay in registers.
template <class Product>
static __device__ __forceinline__ void multiply(float (&acc)[2][TOKEN_TILES][4], const Ring& ring,
                                                int columns, int& stage, int& phase, int warp,
                                                int lane) {
  const int group = warp / ROW_TILES;
  const int used = (columns + 7) / 8;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int n = 0; n < TOKEN_TILES; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        acc[r][n][i] = 0.0f;
      }
    }
  }
  for (int base = 0; base < Product::kInner; base += CHUNK) {
    const int steps = min(CHUNK, Product::kInner - base) / 32;
    const coppice_u32 at = ring.stages + stage * kStage;
    const coppice_u32 rows = at + ((warp % ROW_TILES) * 32 + lane % 16) * kPitch + (lane / 16) * 16;
    const coppice_u32 tokens = at + (kRows + lane % 8) * kPitch + (lane / 8) * 16;
    coppice_barrier_wait(ring.full + 8 * stage, phase);
    for (int s = group; s < steps; s += kGroups) {
      coppice_u32 a[2][2][4];
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        coppice_ldmatrix(a[r][0], rows + r * 16 * kPitch + s * 64);
        coppice_ldmatrix(a[r][1], rows + r * 16 * kPitch + s * 64 + 32);
      }
#pragma unroll
      for (int n = 0; n < TOKEN_TILES; ++n) {
        if (n < used) {
          coppice_u32 b[4];
          coppice_ldmatrix(b, tokens + n * 8 * kPitch + s * 64);
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            coppice_mma(acc[r][n], a[r][0], b[0], b[1]);
            coppice_mma(acc[r][n], a[r][1], b[2], b[3]);
          }
        }
      }
    }
    __syncwarp();
    if (lane == 0) {
      barrier_arrive(ring.empty + 8 * stage);
    }
    if (++stage == STAGES) {
      stage = 0;
      phase ^= 1;
    }
  }
}

// sums[group][row][column] for all rows of the tile.
static __device__ __forceinline__ void spill(const float (&acc)[2][TOKEN_TILES][4], float* sums,
                                             int warp, int lane) {
  const int first = (warp / ROW_TILES) * kRows + (warp % ROW_TILES) * 32;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int n = 0; n < TOKEN_TILES; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = r * 16 + lane / 4 + (i / 2) * 8, column = n * 8 + 2 * (lane % 4) + i % 2;
        sums[(first + row) * kSumPitch + column] = acc[r][n][i];
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

// Ring, barriers and sums in dynamic shared memory.
static __device__ __forceinline__ Ring make_ring(unsigned char* shared) {
  const coppice_u32 stages = coppice_shared(shared);
  const Ring ring{stages, stages + STAGES * kStage, stages + STAGES * kStage + 8 * STAGES};
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
#ifdef LOAD_BULK
      coppice_barrier_init(ring.full + 8 * i, PRODUCERS + 32);
#else
      coppice_barrier_init(ring.full + 8 * i, (PRODUCERS + 1) * 32);
#endif
      coppice_barrier_init(ring.empty + 8 * i, WARPS);
    }
    coppice_barrier_fence();
  }
  return ring;
}

extern "C" __global__ void __launch_bounds__(kThreads)
    gate_up(const char* x, const char* weights, const int* ids, coppice_bf16* inner, int* arrived) {
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ Map map;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#if PDL
  coppice_launch_dependents();
#endif
#if MERGE_LAST
  if (blockIdx.x == 0) {
    for (int i = threadIdx.x; i < HIDDEN / kRows; i += blockDim.x) {
      arrived[i] = 0;
    }
  }
#endif
  const Ring ring = make_ring(shared);
  float* sums = reinterpret_cast<float*>(shared + STAGES * (kStage + 16));
  make_map(map, ids, First::kRowTiles);
  if (warp >= WARPS) {
    if (warp == WARPS + PRODUCERS) {
      send_tokens<First>(map, x, ring, lane);
    } else {
      send_weights<First>(map, weights, ring, warp - WARPS, lane);
    }
    return;
  }
  int stage = 0, phase = 0;
  for (int t = blockIdx.x; t < map.tiles[EXPERTS]; t += gridDim.x) {
    const Tile tile = tile_of(map, t);
    float acc[2][TOKEN_TILES][4];
    multiply<First>(acc, ring, tile.columns, stage, phase, warp, lane);
    consumers_meet();
    spill(acc, sums, warp, lane);
    consumers_meet();
    for (int i = threadIdx.x; i < kRows / 2 * tile.columns; i += WARPS * 32) {
      const int row = i % (kRows / 2), column = i / (kRows / 2);
      const int at = row / 16 * 32 + row % 16;
      const float gate = total(sums, at, column), up = total(sums, at + 16, column);
      const float value = gate / (1.0f + coppice_exp2(-kLog2e * gate)) * up;
      inner[static_cast<long long>(map.member[tile.begin + column]) * INTER + tile.row * (kRows / 2) +
            row] = coppice_to_bf16(value);
    }
  }
}

extern "C" __global__ void __launch_bounds__(kThreads)
    down(const char* inner, const char* weights, const int* ids, float* parts, int* arrived,
         const float* routing, coppice_bf16* out) {
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ Map map;
#if MERGE_LAST
  __shared__ int last;
#endif
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Ring ring = make_ring(shared);
  float* sums = reinterpret_cast<float*>(shared + STAGES * (kStage + 16));
  make_map(map, ids, Second::kRowTiles);
  if (warp >= WARPS && warp < WARPS + PRODUCERS) {
    send_weights<Second>(map, weights, ring, warp - WARPS, lane);  // not the first product's business
    return;
  }
#if PDL
  coppice_wait_for_previous();
#endif
  if (warp == WARPS + PRODUCERS) {
    send_tokens<Second>(map, inner, ring, lane);
    return;
  }
  int stage = 0, phase = 0;
  for (int t = blockIdx.x; t < map.tiles[EXPERTS]; t += gridDim.x) {
    const Tile tile = tile_of(map, t);
    float acc[2][TOKEN_TILES][4];
    multiply<Second>(acc, ring, tile.columns, stage, phase, warp, lane);
    consumers_meet();
    spill(acc, sums, warp, lane);
    consumers_meet();
    for (int i = threadIdx.x; i < kRows * tile.columns; i += WARPS * 32) {
      const int row = i % kRows, column = i / kRows;
      parts[static_cast<long long>(map.member[tile.begin + column]) * HIDDEN + tile.row * kRows + row] =
          total(sums, row, column);
    }
#if MERGE_LAST
    __threadfence();
    consumers_meet();
    if (threadIdx.x == 0) {
      last = atomicAdd(arrived + tile.row, 1) == map.tiles[EXPERTS] / Second::kRowTiles - 1;
    }
    consumers_meet();
    if (last) {
      __threadfence();
      for (int i = threadIdx.x; i < kRows * TOKENS; i += WARPS * 32) {
        const long long token = i / kRows, d = tile.row * kRows + i % kRows;
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < TOP_K; ++j) {
          sum += routing[token * TOP_K + j] *
                 coppice_load_coherent(parts + (token * TOP_K + j) * HIDDEN + d);
        }
        out[token * HIDDEN + d] = coppice_to_bf16(sum);
      }
    }
#endif
  }
#if PDL
  coppice_launch_dependents();
#endif
}

extern "C" __global__ void merge(const float* parts, const float* routing, coppice_bf16* out) {
#if PDL
  coppice_wait_for_previous();
#endif
  const long long token = blockIdx.y, d = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  float sum = 0.0f;
#pragma unroll
  for (int j = 0; j < TOP_K; ++j) {
    sum += routing[token * TOP_K + j] * parts[(token * TOP_K + j) * HIDDEN + d];
  }
  out[token * HIDDEN + d] = coppice_to_bf16(sum);
}
