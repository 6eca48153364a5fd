// Few rows times many weights, with no shared memory between the weights and the tensor cores: each
// lane reads the 16 bytes that it will multiply, several steps ahead, also across tiles. The weights are
// the 16-row operand, so that up to 8 activations cost one column tile. The warps of a block share the
// inner dimension, and blocks may share it further (a cluster or a second kernel adds up). The
// activations of the block's part wait in shared memory.
// An inner product may visit its dimension in any order: a lane's 8 neighbours stand for the elements
// that the instruction wants from it, in both operands alike.
#include "few_rows.cuh"

constexpr int kColumns = 8 * COLUMN_TILES;
constexpr int kTile = 16 * ROW_TILES;
constexpr int kSumPitch = kTile + 4;
constexpr int kThreads = WARPS * 32;
constexpr int kStep = 64;  // elements of the inner dimension: a line of each row

struct Problem {
  const char* weights;
  int columns;  // live ones of this block
  int n, k;
  int begin, steps;  // of this block's part of the inner dimension
  int tiles, stride;
  int first_column;
};

using Step = uint4[ROW_TILES][4];  // the lane's pieces: low rows, first and second half; high rows

static __device__ __forceinline__ void fetch(uint4& v, const char* from, [[maybe_unused]] coppice_u64 policy) {
#if defined(READ_EVICT_FIRST)
  coppice_read_policy(v, from, policy);
#elif defined(READ_ONCE)
  coppice_read_once(v, from);
#else
  coppice_read(v, from);
#endif
}

static __device__ __forceinline__ void load(Step& v, const Problem& p, int tile, int step,
                                            coppice_u64 policy) {
  const int lane = threadIdx.x % 32;
  const char* from = p.weights + (p.begin + step) * (kStep * 2) + lane % 4 * 16;
#pragma unroll
  for (int r = 0; r < ROW_TILES; ++r) {
#pragma unroll
    for (int high = 0; high < 2; ++high) {
      const int row = min(tile * kTile + r * 16 + high * 8 + lane / 4, p.n - 1);
      const char* line = from + static_cast<long long>(row) * (p.k * 2);
      fetch(v[r][2 * high], line, policy);
      fetch(v[r][2 * high + 1], line + 64, policy);
    }
  }
}

// `activations`: the lane's row of the first column tile at this step.
static __device__ __forceinline__ void multiply(float (&acc)[ROW_TILES][COLUMN_TILES][4], const Step& v,
                                                const char* activations, int pitch) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint4 b[COLUMN_TILES];
#pragma unroll
    for (int c = 0; c < COLUMN_TILES; ++c) {
      b[c] = *reinterpret_cast<const uint4*>(activations + c * 8 * pitch + half * 64);
    }
#pragma unroll
    for (int e = 0; e < 2; ++e) {
#pragma unroll
      for (int r = 0; r < ROW_TILES; ++r) {
        const coppice_u32 fragment[4] = {word(v[r][half], 2 * e), word(v[r][2 + half], 2 * e),
                                         word(v[r][half], 2 * e + 1), word(v[r][2 + half], 2 * e + 1)};
#pragma unroll
        for (int c = 0; c < COLUMN_TILES; ++c) {
          coppice_mma(acc[r][c], fragment, word(b[c], 2 * e), word(b[c], 2 * e + 1));
        }
      }
    }
  }
}

// Sends the block's part of the activations on its way to shared memory.
static __device__ __forceinline__ void bring_activations(const Problem& p, const char* activations,
                                                         coppice_u32 to, int pitch) {
  const int pieces = p.steps * (kStep * 2 / 16);
  for (int i = threadIdx.x; i < p.columns * pieces; i += kThreads) {
    const int column = i / pieces, piece = i % pieces;
    coppice_copy16(to + column * pitch + piece * 16,
                   activations + (static_cast<long long>(p.first_column + column) * p.k + p.begin * kStep) * 2 +
                       piece * 16);
  }
  coppice_commit();
}

// A warp's sums: sums[warp][column][row].
static __device__ __forceinline__ void spill(const float (&acc)[ROW_TILES][COLUMN_TILES][4], float* sums) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int r = 0; r < ROW_TILES; ++r) {
#pragma unroll
    for (int c = 0; c < COLUMN_TILES; ++c) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = r * 16 + lane / 4 + i / 2 * 8, column = c * 8 + 2 * (lane % 4) + i % 2;
        sums[(warp * kColumns + column) * kSumPitch + row] = acc[r][c][i];
      }
    }
  }
}

// Adds up the warps' sums of a tile: to the result, to the workspace, or to `meeting` for the cluster.
static __device__ __forceinline__ void finish(const Problem& p, const float* sums, char* out,
                                              [[maybe_unused]] float* partial,
                                              [[maybe_unused]] float* meeting, int row) {
  constexpr int kPairs = kTile / 2;
  for (int i = threadIdx.x; i < p.columns * kPairs; i += kThreads) {
    const int pair = i % kPairs, column = i / kPairs;
    float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int w = 0; w < WARPS; ++w) {
      const float2 one =
          *reinterpret_cast<const float2*>(sums + (w * kColumns + column) * kSumPitch + 2 * pair);
      sum.x += one.x;
      sum.y += one.y;
    }
#if SPLIT == 1
    store_pair(out, p.first_column + column, row + 2 * pair, p.n, sum);
#elif defined(REDUCE_CLUSTER)
    *reinterpret_cast<float2*>(meeting + column * kSumPitch + 2 * pair) = sum;
#else
    if (row + 2 * pair < p.n) {
      *reinterpret_cast<float2*>(partial + static_cast<long long>(p.first_column + column) * p.n + row +
                                 2 * pair) = sum;
    }
#endif
  }
}

#if SPLIT > 1 && defined(REDUCE_CLUSTER)
// Each block finishes its share of the pairs, reading the others' sums where they lie.
static __device__ __forceinline__ void add_cluster(const Problem& p, const float* meeting, char* out, int row,
                                                   int rank) {
  constexpr int kPairs = kTile / 2;
  const coppice_u32 own = coppice_shared(meeting);
  for (int i = rank * kThreads + threadIdx.x; i < p.columns * kPairs; i += SPLIT * kThreads) {
    const int pair = i % kPairs, column = i / kPairs;
    float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int s = 0; s < SPLIT; ++s) {
      const float2 one =
          coppice_load_cluster_pair(coppice_map_shared(own + (column * kSumPitch + 2 * pair) * 4, s));
      sum.x += one.x;
      sum.y += one.y;
    }
    store_pair(out, p.first_column + column, row + 2 * pair, p.n, sum);
  }
}
#endif

// All tiles of the block. A warp takes every WARPS-th step; its ring goes on from tile to tile.
static __device__ __forceinline__ void run(const Problem& p, const char* activations, int pitch, float* sums,
                                           float* meeting, char* out, float* partial, int first, int split) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int count = (p.steps - warp + WARPS - 1) / WARPS;  // steps of this warp in a tile
  const int padded = max(1, (count + DEPTH - 1) / DEPTH) * DEPTH;
  const char* own = activations + lane / 4 * pitch + lane % 4 * 16;
  coppice_u64 policy = 0;
#ifdef READ_EVICT_FIRST
  policy = coppice_evict_first();
#endif
  Step ring[DEPTH];
#pragma unroll
  for (int i = 0; i < DEPTH - 1; ++i) {
    if (i < count) {
      load(ring[i], p, first, warp + i * WARPS, policy);
    }
  }
  coppice_wait_copies<0>();
  __syncthreads();
  [[maybe_unused]] int turn = 0;
  for (int tile = first; tile < p.tiles; tile += p.stride) {
    float acc[ROW_TILES][COLUMN_TILES][4] = {};
    for (int base = 0; base < padded; base += DEPTH) {
#pragma unroll
      for (int d = 0; d < DEPTH; ++d) {  // the ring's index must be a constant
        int ahead = base + d + DEPTH - 1, of = tile;
        if (ahead >= padded) {
          ahead -= padded;
          of += p.stride;
        }
        if (ahead < count && of < p.tiles) {
          load(ring[(d + DEPTH - 1) % DEPTH], p, of, warp + ahead * WARPS, policy);
        }
        if (base + d < count) {
          multiply(acc, ring[d], own + (warp + (base + d) * WARPS) * (kStep * 2), pitch);
        }
      }
    }
    spill(acc, sums);
    __syncthreads();
    float* meet = meeting + turn * (kColumns * kSumPitch);
    finish(p, sums, out, partial, meet, tile * kTile);
#if SPLIT > 1 && defined(REDUCE_CLUSTER)
    coppice_cluster_sync();
    add_cluster(p, meet, out, tile * kTile, split);
    turn ^= 1;  // the others may still read this one
#else
    __syncthreads();
#endif
  }
}

extern "C" __global__ void __launch_bounds__(kThreads, MIN_BLOCKS)
    multiply_rows(const char* activations, const char* weights, char* out, float* partial, long long m,
                  long long n, long long k) {
  extern __shared__ __align__(128) char shared[];
  Problem p;
  p.weights = weights;
  p.first_column = blockIdx.y * kColumns;
  p.columns = min(kColumns, static_cast<int>(m) - p.first_column);
  p.n = static_cast<int>(n);
  p.k = static_cast<int>(k);
  const int all = p.k / kStep, each = (all + SPLIT - 1) / SPLIT, split = blockIdx.x % SPLIT;
  p.begin = min(all, split * each);
  p.steps = min(each, all - p.begin);
  p.tiles = (p.n + kTile - 1) / kTile;
  p.stride = gridDim.x / SPLIT;
  const int pitch = each * (kStep * 2) + 64;  // neighbouring rows lie in different halves of the banks
  float* sums = reinterpret_cast<float*>(shared + kColumns * pitch);
  bring_activations(p, activations, coppice_shared(shared), pitch);
  run(p, shared, pitch, sums, sums + WARPS * kColumns * kSumPitch, out,
      partial + static_cast<long long>(split) * m * n, blockIdx.x / SPLIT, split);
#if PDL
  coppice_launch_dependents();
#endif
#if SPLIT > 1 && defined(REDUCE_CLUSTER)
  coppice_cluster_sync();  // nobody leaves while others still read its sums
#endif
}

extern "C" __global__ void __launch_bounds__(128)
    add_up(const float* partial, char* out, long long pairs) {
#if PDL
  coppice_wait_for_previous();
#endif
  add_splits<SPLIT>(partial, out, pairs);
}
