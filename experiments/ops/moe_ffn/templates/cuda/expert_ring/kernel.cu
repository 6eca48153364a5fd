// Mixture of experts as two streams of weights: resident blocks share out (expert, rows, tokens)
// tiles; some warps copy weight rows into a shared ring, one the tokens' rows, the others multiply on
// tensor cores, weights as the 16-row operand. The second product's weights are on their way before
// the first product has ended; its last block of each row adds the experts up, or a third kernel.
// With even shares (EVEN) a block may end inside a tile: its successor, which began with the rest of
// that tile, has left its sums in the workspace.
#include "coppice_hopper.cuh"

constexpr int kRows = 32 * ROW_TILES;  // of weights in a tile; a warp computes 32 of them
constexpr int kColumns = 8 * TOKEN_TILES;
constexpr int kSlots = TOKENS * TOP_K;  // (token, choice) pairs
constexpr int kHalf = 16 * ROW_TILES;   // the gate's rows, then those of the values that it gates
constexpr int kPitch = CHUNK * 2 + 16;  // rows start in different banks
#ifdef LOAD_BOX
constexpr int kWeights = kRows * CHUNK * 2;  // boxes of 64 columns, swizzled
#else
constexpr int kWeights = kRows * kPitch;
#endif
constexpr int kTokens = kColumns * kPitch;
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
// Of a tile: chunks first .. last - 1 of its inner dimension. No tile: first == last.
struct Piece {
  int t, first, last;
};

static __device__ __forceinline__ void consumers_meet() {
  asm volatile("bar.sync 1, %0;" ::"n"(WARPS * 32) : "memory");
}
static __device__ __forceinline__ int load_acquire(const int* from) {
  int v;
  asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(v) : "l"(from) : "memory");
  return v;
}
static __device__ __forceinline__ void store_release(int* to, int v) {
  asm volatile("st.release.gpu.global.s32 [%0], %1;" ::"l"(to), "r"(v) : "memory");
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

// One of the two products: where its rows lie. Tile rows are two halves of kHalf.
struct First {
  static constexpr int kInner = HIDDEN;
  static constexpr int kRowTiles = INTER / kHalf;
  static __device__ __forceinline__ int weight_row(const Tile& tile, int row) {
    return (tile.expert * 2 + row / kHalf) * INTER + tile.row * kHalf + row % kHalf;
  }
  static __device__ __forceinline__ long long token_row(int slot) { return slot / TOP_K; }
};
struct Second {
  static constexpr int kInner = INTER;
  static constexpr int kRowTiles = HIDDEN / kRows;
  static __device__ __forceinline__ int weight_row(const Tile& tile, int row) {
    return tile.expert * HIDDEN + tile.row * kRows + row;
  }
  static __device__ __forceinline__ long long token_row(int slot) { return slot; }
};

struct Ring {
  coppice_u32 weights, tokens, full, empty;
};

// The pieces that this block works through, in order.
template <class Product>
struct Pieces {
  static constexpr int kChunks = (Product::kInner + CHUNK - 1) / CHUNK;
  int tiles, end;  // end: of the block's share, in chunks; -1: whole tiles, in turn with the others
  Piece now;

  __device__ __forceinline__ explicit Pieces(const Map& map) : tiles(map.tiles[EXPERTS]), end(-1) {
    const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
    now = {block, 0, block < tiles ? kChunks : 0};
    if (EVEN && tiles >= blocks) {  // then no tile has more than two pieces
      const long long all = static_cast<long long>(tiles) * kChunks;
      const int begin = static_cast<int>(all * block / blocks);
      end = static_cast<int>(all * (block + 1) / blocks);
      now = {begin / kChunks, begin % kChunks, min(kChunks, begin % kChunks + end - begin)};
    }
  }
  __device__ __forceinline__ bool left() const { return now.first < now.last; }
  __device__ __forceinline__ void advance() {
    if (end >= 0) {
      ++now.t;
      now.first = 0;
      now.last = max(0, min(kChunks, end - now.t * kChunks));
    } else {
      now.t += static_cast<int>(gridDim.x);
      now.last = now.t < tiles ? kChunks : 0;
    }
  }
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

template <class Product>
static __device__ __forceinline__ int bytes_of(int chunk) {
  return min(CHUNK, Product::kInner - chunk * CHUNK) * 2;
}

#ifdef LOAD_BOX
using Weights = const coppice_tensor_map&;

template <class Product>
static __device__ __forceinline__ void send_chunk(Weights map, const Tile& tile, int chunk,
                                                  coppice_u32 to, coppice_u32 full, int, int lane,
                                                  coppice_u64 policy) {
  if (lane == 0) {
    coppice_barrier_expect(full, kWeights);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      coppice_copy_solid(to + half * (kWeights / 2), map, 0, Product::weight_row(tile, half * kHalf),
                         chunk * (CHUNK / 64), full, policy);
    }
  }
}
#else
using Weights = const char*;

// Rows first, first + PRODUCERS, ... of the tile.
template <class Product>
static __device__ __forceinline__ void send_chunk(Weights w, const Tile& tile, int chunk, coppice_u32 to,
                                                  coppice_u32 full, int first, int lane,
                                                  coppice_u64 policy) {
  const int bytes = bytes_of<Product>(chunk);
  w += chunk * (CHUNK * 2);
#ifdef LOAD_BULK
  if (lane == 0) {
    coppice_barrier_expect(full, kRows / PRODUCERS * bytes);
  }
  __syncwarp();
  for (int r = first * 32 + lane; r < kRows; r += 32 * PRODUCERS) {
    coppice_bulk_policy(to + r * kPitch, w + static_cast<long long>(Product::weight_row(tile, r)) * (Product::kInner * 2),
                        bytes, full, policy);
  }
#else
  // Rows lie one after the other within each 16 of them. Narrow chunks: a copy takes several rows.
  constexpr int kLanes = CHUNK * 2 / 16;
  constexpr int kAtOnce = kLanes < 32 ? 32 / kLanes : 1;
  const int row_in_copy = kLanes < 32 ? lane / kLanes : 0;
  const int column = kLanes < 32 ? lane % kLanes : lane;
#pragma unroll
  for (int sixteen = 0; sixteen < kRows; sixteen += 16) {
    const char* from = w + static_cast<long long>(Product::weight_row(tile, sixteen)) * (Product::kInner * 2);
#pragma unroll
    for (int r = 0; r < 16; r += kAtOnce * PRODUCERS) {
      const int row = r + first * kAtOnce + row_in_copy;
#pragma unroll
      for (int c = 0; c < (kLanes + 31) / 32; ++c) {
        const int at_byte = (c * 32 + column) * 16;
        if (at_byte < bytes) {
          coppice_copy16(to + (sixteen + row) * kPitch + at_byte, from + row * (Product::kInner * 2) + at_byte);
        }
      }
    }
  }
  coppice_barrier_arrive_when_copied(full);
#endif
}
#endif

template <class Product>
static __device__ __forceinline__ void send_weights(const Map& map, Weights w, const Ring& ring, int first,
                                                    int lane) {
#ifdef POLICY_EVICT_FIRST
  const coppice_u64 policy = coppice_evict_first();
#else
  const coppice_u64 policy = coppice_evict_normal();
#endif
  Place place(1);
  for (Pieces<Product> at(map); at.left(); at.advance()) {
    const Tile tile = tile_of(map, at.now.t);
    for (int chunk = at.now.first; chunk < at.now.last; ++chunk, place.advance()) {
      coppice_barrier_wait(ring.empty + 8 * place.stage, place.phase);
      send_chunk<Product>(w, tile, chunk, ring.weights + place.stage * kWeights, ring.full + 8 * place.stage,
                          first, lane, policy);
    }
  }
  coppice_wait_copies<0>();
}

template <class Product>
static __device__ __forceinline__ void send_tokens(const Map& map, const char* x, const Ring& ring,
                                                   int lane) {
  Place place(1);
  for (Pieces<Product> at(map); at.left(); at.advance()) {
    const Tile tile = tile_of(map, at.now.t);
    for (int chunk = at.now.first; chunk < at.now.last; ++chunk, place.advance()) {
      const coppice_u32 to = ring.tokens + place.stage * kTokens;
      const int bytes = bytes_of<Product>(chunk);
      coppice_barrier_wait(ring.empty + 8 * place.stage, place.phase);
      for (int column = 0; column < tile.columns; ++column) {
        const char* from = x + Product::token_row(map.member[tile.begin + column]) * (Product::kInner * 2) +
                           chunk * (CHUNK * 2);
#pragma unroll
        for (int c = 0; c < (CHUNK * 2 + 511) / 512; ++c) {
          const int at_byte = (c * 32 + lane) * 16;
          if (at_byte < bytes) {
            coppice_copy16(to + column * kPitch + at_byte, from + at_byte);
          }
        }
      }
      coppice_barrier_arrive_when_copied(ring.full + 8 * place.stage);
    }
  }
  coppice_wait_copies<0>();
}

// Multiplies one piece; the sums over this warp's share of the inner dimension stay in registers.
template <class Product>
static __device__ __forceinline__ void multiply(float (&acc)[2][TOKEN_TILES][4], const Ring& ring,
                                                const Piece& piece, int columns, Place& place, int warp,
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
  const int row = (warp % ROW_TILES) * 16 + lane % 16;
  for (int chunk = piece.first; chunk < piece.last; ++chunk, place.advance()) {
    const int steps = bytes_of<Product>(chunk) / 64;
    const coppice_u32 weights = ring.weights + place.stage * kWeights;
    const coppice_u32 tokens = ring.tokens + place.stage * kTokens + lane % 8 * kPitch + (lane / 8) * 16;
    coppice_barrier_wait(ring.full + 8 * place.stage, place.phase);
    for (int s = group; s < steps; s += kGroups) {
      coppice_u32 a[2][2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          const int sixteen = 4 * s + 2 * k + lane / 16;  // of bytes, along the chunk
#ifdef LOAD_BOX
          const coppice_u32 at = weights + half * (kWeights / 2) + sixteen / 8 * (kHalf * 128) + row * 128 +
                                 ((sixteen ^ row) & 7) * 16;
#else
          const coppice_u32 at = weights + (half * kHalf + row) * kPitch + sixteen * 16;
#endif
          coppice_ldmatrix(a[half][k], at);
        }
      }
#pragma unroll
      for (int n = 0; n < TOKEN_TILES; ++n) {
        if (n < used) {
          coppice_u32 b[4];
          coppice_ldmatrix(b, tokens + n * 8 * kPitch + s * 64);
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            coppice_mma(acc[half][n], a[half][0], b[0], b[1]);
            coppice_mma(acc[half][n], a[half][1], b[2], b[3]);
          }
        }
      }
    }
    __syncwarp();
    if (lane == 0) {
      coppice_barrier_arrive(ring.empty + 8 * place.stage);
    }
  }
}

// sums[group][row][column] for all rows of the tile.
static __device__ __forceinline__ void spill(const float (&acc)[2][TOKEN_TILES][4], float* sums,
                                             int warp, int lane) {
  const int first = (warp / ROW_TILES) * kRows + (warp % ROW_TILES) * 16;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int n = 0; n < TOKEN_TILES; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = r * kHalf + lane / 4 + (i / 2) * 8, column = n * 8 + 2 * (lane % 4) + i % 2;
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

// Sums of a tile whose rest the next block began with, or that this block is to hand on. False: this
// block has nothing more to do with the tile.
static __device__ __forceinline__ bool settle(float* sums, const Piece& piece, int chunks, int columns,
                                              float* rest, int* flags) {
#if EVEN
  const int block = static_cast<int>(blockIdx.x);
  if (piece.first > 0) {
    float* mine = rest + static_cast<long long>(block) * (kRows * kColumns);
    for (int i = threadIdx.x; i < kRows * columns; i += WARPS * 32) {
      mine[i] = total(sums, i % kRows, i / kRows);
    }
    __threadfence();
    consumers_meet();
    if (threadIdx.x == 0) {
      store_release(flags + block, 1);
    }
    return false;
  }
  if (piece.last < chunks) {
    const float* theirs = rest + static_cast<long long>(block + 1) * (kRows * kColumns);
    if (threadIdx.x == 0) {
      while (load_acquire(flags + block + 1) == 0) {
      }
    }
    consumers_meet();
    for (int i = threadIdx.x; i < kRows * columns; i += WARPS * 32) {
      sums[i % kRows * kSumPitch + i / kRows] += coppice_load_coherent(theirs + i);
    }
    consumers_meet();
  }
#endif
  return true;
}

// Ring, barriers and sums in dynamic shared memory.
static __device__ __forceinline__ Ring make_ring(unsigned char* shared) {
  const coppice_u32 weights = coppice_shared(shared), tokens = weights + STAGES * kWeights;
  const coppice_u32 full = tokens + STAGES * kTokens;
  const Ring ring{weights, tokens, full, full + 8 * STAGES};
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
#if defined(LOAD_BOX)
      coppice_barrier_init(ring.full + 8 * i, 1 + 32);
#elif defined(LOAD_BULK)
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
static __device__ __forceinline__ unsigned char* aligned(unsigned char* shared) {
  return shared + (1024 - coppice_shared(shared) % 1024) % 1024;
}

#ifdef LOAD_BOX
#define WEIGHTS const __grid_constant__ coppice_tensor_map weights
#else
#define WEIGHTS const char* weights
#endif

extern "C" __global__ void __launch_bounds__(kThreads)
    gate_up(const char* x, WEIGHTS, const int* ids, coppice_bf16* inner, int* arrived, float* rest,
            int* flags) {
  extern __shared__ __align__(1024) unsigned char dynamic[];
  __shared__ Map map;
  unsigned char* shared = aligned(dynamic);
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
  float* sums = reinterpret_cast<float*>(shared + STAGES * (kWeights + kTokens + 16));
  make_map(map, ids, First::kRowTiles);
  if (warp >= WARPS) {
    if (warp == WARPS + PRODUCERS) {
      send_tokens<First>(map, x, ring, lane);
    } else {
      send_weights<First>(map, weights, ring, warp - WARPS, lane);
    }
    return;
  }
  Place place(0);
  for (Pieces<First> at(map); at.left(); at.advance()) {
    const Tile tile = tile_of(map, at.now.t);
    float acc[2][TOKEN_TILES][4];
    multiply<First>(acc, ring, at.now, tile.columns, place, warp, lane);
    consumers_meet();
    spill(acc, sums, warp, lane);
    consumers_meet();
    if (!settle(sums, at.now, Pieces<First>::kChunks, tile.columns, rest, flags)) {
      continue;
    }
    for (int i = threadIdx.x; i < kHalf * tile.columns; i += WARPS * 32) {
      const int row = i % kHalf, column = i / kHalf;
      const float gate = total(sums, row, column), up = total(sums, kHalf + row, column);
      const float value = __fdividef(gate, 1.0f + coppice_exp2(-kLog2e * gate)) * up;
      inner[static_cast<long long>(map.member[tile.begin + column]) * INTER + tile.row * kHalf + row] =
          coppice_to_bf16(value);
    }
  }
}

extern "C" __global__ void __launch_bounds__(kThreads)
    down(const char* inner, WEIGHTS, const int* ids, float* parts, int* arrived, const float* routing,
         coppice_bf16* out, float* rest, int* flags) {
  extern __shared__ __align__(1024) unsigned char dynamic[];
  __shared__ Map map;
#if MERGE_LAST
  __shared__ int last;
#endif
  unsigned char* shared = aligned(dynamic);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Ring ring = make_ring(shared);
  float* sums = reinterpret_cast<float*>(shared + STAGES * (kWeights + kTokens + 16));
  make_map(map, ids, Second::kRowTiles);
#if PDL
  coppice_launch_dependents();
#endif
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
  Place place(0);
  for (Pieces<Second> at(map); at.left(); at.advance()) {
    const Tile tile = tile_of(map, at.now.t);
    float acc[2][TOKEN_TILES][4];
    multiply<Second>(acc, ring, at.now, tile.columns, place, warp, lane);
    consumers_meet();
    spill(acc, sums, warp, lane);
    consumers_meet();
    if (!settle(sums, at.now, Pieces<Second>::kChunks, tile.columns, rest, flags + gridDim.x)) {
      continue;
    }
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
