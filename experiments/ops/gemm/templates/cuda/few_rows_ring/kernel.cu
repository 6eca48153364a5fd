// Few rows times many weights: the weights stream once, in long pieces of their rows, through a ring
// in shared memory that one warp fills with bulk copies. They are the 16-row operand of the tensor
// cores, so that up to 8 activations cost one column tile. Warps share rows and the inner dimension;
// blocks may share it too (a cluster or a second kernel adds up), may share the activations (a
// cluster copies each once), and may walk over tiles.
// An inner product may visit its dimension in any order: a thread's 16 bytes, 8 neighbours, stand for
// the elements that the instruction wants from it, in both operands alike.
#include "coppice_hopper.cuh"

constexpr int kColumns = 8 * COLUMN_TILES;
constexpr int kPitch = TILE_K * 2 + 64;  // neighbouring rows lie in different halves of the banks
constexpr int kConsumers = WARPS_N * WARPS_K;
constexpr int kRowTiles = TILE_N / 16 / WARPS_N;  // of a warp
constexpr int kSteps = TILE_K / 32;
constexpr int kSumPitch = TILE_N + 4;
#ifdef REDUCE_CLUSTER
constexpr int kCluster = SPLIT * SHARE;
#else
constexpr int kCluster = SHARE;
#endif
#ifdef ACTIVATIONS_RESIDENT
constexpr int kStageRows = TILE_N;
#else
constexpr int kStageRows = TILE_N + kColumns;
#endif
constexpr int kStage = kStageRows * kPitch;
constexpr int kSums = WARPS_K * kColumns * kSumPitch * 4;
constexpr int kMostChunks = 64;  // of resident activations

struct Problem {
  const char* activations;  // at the block's first column
  const char* weights;
  int columns;  // live ones of this block
  int n, k;
  int begin, end;  // chunks of the inner dimension
};

struct Memory {
  coppice_u32 ring, resident, full, empty, arrived;
};

static __device__ __forceinline__ int resident_pitch(int k) {
  return k * 2 + 64;
}

static __device__ __forceinline__ coppice_u32 word(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// Activations of one chunk, `pitch` apart; each block of the cluster brings its part to all.
static __device__ __forceinline__ void copy_activations(const Problem& p, int chunk, int bytes,
                                                        coppice_u32 to, int pitch,
                                                        coppice_u32 barrier, int rank, int lane) {
#pragma unroll 1
  for (int c = lane * SHARE + rank; c < p.columns; c += 32 * SHARE) {
    const char* from = p.activations + (static_cast<long long>(c) * p.k + chunk * TILE_K) * 2;
#if SHARE > 1
    coppice_bulk_multicast(to + c * pitch, from, bytes, barrier, (1 << SHARE) - 1);
#elif defined(POLICY_EVICT_FIRST)
    coppice_bulk_policy(to + c * pitch, from, bytes, barrier, coppice_evict_last());
#else
    coppice_bulk(to + c * pitch, from, bytes, barrier);
#endif
  }
}

static __device__ __forceinline__ void copy_weights(const char* from, int rows, int stride, int bytes,
                                                    coppice_u32 to, coppice_u32 barrier, int lane) {
#pragma unroll
  for (int i = 0; i < TILE_N; i += 32) {
    const int r = i + lane;
    if (r < rows) {
#ifdef POLICY_EVICT_FIRST
      coppice_bulk_policy(to + r * kPitch, from + static_cast<long long>(r) * stride, bytes, barrier,
                          coppice_evict_first());
#else
      coppice_bulk(to + r * kPitch, from + static_cast<long long>(r) * stride, bytes, barrier);
#endif
    }
  }
}

static __device__ __forceinline__ void produce(const Problem& p, const Memory& at, int first, int groups,
                                               int step, int rank, int lane) {
  int stage = 0, phase = 1;
  for (int group = first; group < groups; group += step) {
    const int row = (group * SHARE + rank) * TILE_N;
    const int rows = max(0, min(TILE_N, p.n - row));
    for (int chunk = p.begin; chunk < p.end; ++chunk) {
      const int bytes = min(TILE_K, p.k - chunk * TILE_K) * 2;
      const coppice_u32 full = at.full + 8 * stage, to = at.ring + stage * kStage;
      coppice_barrier_wait(at.empty + 8 * stage, phase);
#ifdef ACTIVATIONS_RESIDENT
      if (lane == 0) {
        coppice_barrier_expect(full, rows * bytes);
      }
      if (group == first) {
        const coppice_u32 arrived = at.arrived + 8 * chunk;
        if (lane == 0) {
          coppice_barrier_expect(arrived, p.columns * bytes);
        }
        __syncwarp();
        copy_activations(p, chunk, bytes, at.resident + chunk * (TILE_K * 2), resident_pitch(p.k),
                         arrived, rank, lane);
      }
      __syncwarp();
#else
      if (lane == 0) {
        coppice_barrier_expect(full, (rows + p.columns) * bytes);
      }
      __syncwarp();
      copy_activations(p, chunk, bytes, to + TILE_N * kPitch, kPitch, full, rank, lane);
#endif
      copy_weights(p.weights + (static_cast<long long>(row) * p.k + chunk * TILE_K) * 2, rows, p.k * 2,
                   bytes, to, full, lane);
      if (++stage == STAGES) {
        stage = 0;
        phase ^= 1;
      }
    }
  }
}

// One step of 32 along the inner dimension; both pointers are the lane's own.
static __device__ __forceinline__ void multiply(float (&acc)[kRowTiles][COLUMN_TILES][4],
                                                const char* weights, const char* activations,
                                                int pitch) {
  uint4 a[kRowTiles][2], b[COLUMN_TILES];
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
    a[r][0] = *reinterpret_cast<const uint4*>(weights + r * (16 * kPitch));
    a[r][1] = *reinterpret_cast<const uint4*>(weights + r * (16 * kPitch) + 8 * kPitch);
  }
#pragma unroll
  for (int c = 0; c < COLUMN_TILES; ++c) {
    b[c] = *reinterpret_cast<const uint4*>(activations + c * 8 * pitch);
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const coppice_u32 fragment[4] = {word(a[r][0], 2 * half), word(a[r][1], 2 * half),
                                       word(a[r][0], 2 * half + 1), word(a[r][1], 2 * half + 1)};
#pragma unroll
      for (int c = 0; c < COLUMN_TILES; ++c) {
        coppice_mma(acc[r][c], fragment, word(b[c], 2 * half), word(b[c], 2 * half + 1));
      }
    }
  }
}

// A warp's sums: sums[slice][column][row].
static __device__ __forceinline__ void spill(const float (&acc)[kRowTiles][COLUMN_TILES][4], float* sums,
                                             int slice, int first_row, int lane) {
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int c = 0; c < COLUMN_TILES; ++c) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = first_row + r * 16 + lane / 4 + i / 2 * 8;
        const int column = c * 8 + 2 * (lane % 4) + i % 2;
        sums[(slice * kColumns + column) * kSumPitch + row] = acc[r][c][i];
      }
    }
  }
}

static __device__ __forceinline__ void store_pair(char* out, long long column, int row, int n, float low,
                                                  float high) {
  if (row < n) {
    *reinterpret_cast<coppice_u32*>(out + (column * n + row) * 2) = coppice_pack(low, high);
  }
}

// The block's sums over its slices: to the result, to the workspace, or in place for the cluster.
static __device__ __forceinline__ void finish(const Problem& p, float* sums, char* out,
                                              [[maybe_unused]] float* partial, int first_column, int row) {
  constexpr int kPairs = TILE_N / 2;
  for (int i = threadIdx.x; i < kColumns * kPairs; i += kConsumers * 32) {
    const int pair = i % kPairs, column = i / kPairs;
    float* place = sums + column * kSumPitch + 2 * pair;
    float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int s = 0; s < WARPS_K; ++s) {
      const float2 one = *reinterpret_cast<const float2*>(place + s * kColumns * kSumPitch);
      sum.x += one.x;
      sum.y += one.y;
    }
    if (column < p.columns) {
#if SPLIT == 1
      store_pair(out, first_column + column, row + 2 * pair, p.n, sum.x, sum.y);
#elif defined(REDUCE_CLUSTER)
      *reinterpret_cast<float2*>(place) = sum;
#else
      if (row + 2 * pair < p.n) {
        *reinterpret_cast<float2*>(partial + static_cast<long long>(first_column + column) * p.n + row +
                                   2 * pair) = sum;
      }
#endif
    }
  }
}

static __device__ __forceinline__ void consume(const Problem& p, const Memory& at, const char* shared,
                                               float* sums, char* out, float* partial, int first_column,
                                               int first, int groups, int step, int rank) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int slice = warp % WARPS_K, first_row = warp / WARPS_K * (kRowTiles * 16);
  const int own = lane / 4 * kPitch + lane % 4 * 16;
  int stage = 0, phase = 0;
  for (int group = first; group < groups; group += step) {
    float acc[kRowTiles][COLUMN_TILES][4] = {};
    for (int chunk = p.begin; chunk < p.end; ++chunk) {
      coppice_barrier_wait(at.full + 8 * stage, phase);
      const char* weights = shared + stage * kStage + first_row * kPitch + own;
#ifdef ACTIVATIONS_RESIDENT
      coppice_barrier_wait(at.arrived + 8 * chunk, 0);
      const int pitch = resident_pitch(p.k);
      const char* columns = shared + STAGES * kStage + chunk * (TILE_K * 2) + lane / 4 * pitch + lane % 4 * 16;
#else
      constexpr int pitch = kPitch;
      const char* columns = shared + stage * kStage + TILE_N * kPitch + own;
#endif
      const int steps = min(kSteps, (p.k - chunk * TILE_K) / 32);
      if (steps == kSteps) {
#pragma unroll
        for (int s = 0; s < kSteps / WARPS_K; ++s) {
          const int place = (s * WARPS_K + slice) * 64;
          multiply(acc, weights + place, columns + place, pitch);
        }
      } else {
#pragma unroll 1
        for (int s = slice; s < steps; s += WARPS_K) {
          multiply(acc, weights + s * 64, columns + s * 64, pitch);
        }
      }
      __syncwarp();
#if SHARE > 1
      if (lane < SHARE) {
        coppice_barrier_arrive_remote(coppice_map_shared(at.empty + 8 * stage, lane));
      }
#else
      if (lane == 0) {
        coppice_barrier_arrive(at.empty + 8 * stage);
      }
#endif
      if (++stage == STAGES) {
        stage = 0;
        phase ^= 1;
      }
    }
    spill(acc, sums, slice, first_row, lane);
    coppice_named_barrier(1, kConsumers * 32);
    finish(p, sums, out, partial, first_column, (group * SHARE + rank) * TILE_N);
    coppice_named_barrier(1, kConsumers * 32);
  }
}

#if SPLIT > 1 && defined(REDUCE_CLUSTER)
// Each block adds up its share of the pairs, reading the others' sums where they lie.
static __device__ __forceinline__ void add_cluster(const Problem& p, const float* sums, char* out,
                                                   int first_column, int row, int rank) {
  constexpr int kPairs = TILE_N / 2;
  constexpr int kThreads = (kConsumers + 1) * 32;
  const coppice_u32 own = coppice_shared(sums);
  for (int i = rank * kThreads + threadIdx.x; i < kColumns * kPairs; i += SPLIT * kThreads) {
    const int pair = i % kPairs, column = i / kPairs;
    if (column < p.columns) {
      float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
      for (int s = 0; s < SPLIT; ++s) {
        const float2 one = coppice_load_cluster_pair(
            coppice_map_shared(own + (column * kSumPitch + 2 * pair) * 4, s));
        sum.x += one.x;
        sum.y += one.y;
      }
      store_pair(out, first_column + column, row + 2 * pair, p.n, sum.x, sum.y);
    }
  }
}
#endif

extern "C" __global__ void __launch_bounds__((kConsumers + 1) * 32)
    multiply_rows(const char* activations, const char* weights, char* out, float* partial, long long m,
                  long long n, long long k) {
  extern __shared__ __align__(128) char shared[];
  const int first_column = blockIdx.y * kColumns;
  Problem p{activations + first_column * k * 2, weights, 0, 0, 0, 0, 0};
  p.columns = min(kColumns, static_cast<int>(m) - first_column);
  p.n = static_cast<int>(n);
  p.k = static_cast<int>(k);
  const int chunks = (p.k + TILE_K - 1) / TILE_K, each = (chunks + SPLIT - 1) / SPLIT;
  const int split = SPLIT > 1 ? blockIdx.x % SPLIT : 0, rank = SHARE > 1 ? blockIdx.x % SHARE : 0;
  p.begin = min(chunks, split * each);
  p.end = min(chunks, p.begin + each);
  const int first = blockIdx.x / (SPLIT * SHARE), step = gridDim.x / (SPLIT * SHARE);
  const int groups = (p.n + TILE_N * SHARE - 1) / (TILE_N * SHARE);
  const int resident = STAGES * kStage;
#ifdef ACTIVATIONS_RESIDENT
  const int sums_at = resident + kColumns * resident_pitch(p.k);
#else
  const int sums_at = resident;
#endif
  float* sums = reinterpret_cast<float*>(shared + sums_at);
  Memory at;
  at.ring = coppice_shared(shared);
  at.resident = at.ring + resident;
  at.full = at.ring + sums_at + kSums;
  at.empty = at.full + 8 * STAGES;
  at.arrived = at.empty + 8 * STAGES;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
      coppice_barrier_init(at.full + 8 * i, 1);
      coppice_barrier_init(at.empty + 8 * i, kConsumers * SHARE);
    }
#ifdef ACTIVATIONS_RESIDENT
    for (int i = 0; i < min(chunks, kMostChunks); ++i) {
      coppice_barrier_init(at.arrived + 8 * i, 1);
    }
#endif
    coppice_barrier_fence();
  }
  if (kCluster > 1) {
    coppice_cluster_sync();
  } else {
    __syncthreads();
  }
  if (threadIdx.x / 32 == kConsumers) {
    produce(p, at, first, groups, step, rank, threadIdx.x % 32);
  } else {
    consume(p, at, shared, sums, out, partial + static_cast<long long>(split) * m * n, first_column, first,
            groups, step, rank);
  }
#if PDL
  coppice_launch_dependents();
#endif
  if (kCluster > 1) {
    coppice_cluster_sync();  // sums are in place; nobody has left whom others still write to
  }
#if SPLIT > 1 && defined(REDUCE_CLUSTER)
  add_cluster(p, sums, out, first_column, first * TILE_N, split);
  coppice_cluster_sync();
#endif
}

extern "C" __global__ void __launch_bounds__(128)
    add_up(const float* partial, char* out, long long pairs) {
#if PDL
  coppice_wait_for_previous();
#endif
  const long long i = blockIdx.x * 128ll + threadIdx.x;
  if (i < pairs) {
    float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int s = 0; s < SPLIT; ++s) {
      const float2 one = __ldcg(reinterpret_cast<const float2*>(partial) + s * pairs + i);
      sum.x += one.x;
      sum.y += one.y;
    }
    reinterpret_cast<coppice_u32*>(out)[i] = coppice_pack(sum.x, sum.y);
  }
}
