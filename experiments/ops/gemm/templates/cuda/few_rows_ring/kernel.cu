// Few rows times many weights: the weights stream once through a ring in shared memory that one warp
// fills, with a bulk copy for each row or a tensor map for all of a stage. They are the 16-row operand of the tensor
// cores, so that up to 8 activations cost one column tile. Warps share rows and the inner dimension;
// blocks may share it too (a cluster or a second kernel adds up), may share the activations (a
// cluster copies each once), and may walk over tiles.
// An inner product may visit its dimension in any order: a thread's 16 bytes, 8 neighbours, stand for
// the elements that the instruction wants from it, in both operands alike.
#include "few_rows.cuh"

constexpr int kColumns = 8 * COLUMN_TILES;
#ifdef LOAD_BOX
constexpr int kPitch = 128;                  // slabs of 64 elements, swizzled
constexpr int kRowBytes = TILE_K * 2;        // that a row takes in a stage
#else
constexpr int kPitch = TILE_K * 2 + 64;  // neighbouring rows lie in different halves of the banks
constexpr int kRowBytes = kPitch;
#endif
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
constexpr int kStage = kStageRows * kRowBytes;
constexpr int kSums = WARPS_K * kColumns * kSumPitch * 4;
constexpr int kMostChunks = 64;  // of resident activations

struct Problem {
  const char* activations;  // at the first column
  const char* weights;
  const coppice_tensor_map* activation_map;
  const coppice_tensor_map* weight_map;
  int first_column, columns;  // of this block; live ones
  int n, k;
  int begin, end;  // chunks of the inner dimension
  int group;       // first block of the cluster that shares these chunks' activations
};

struct Memory {
  coppice_u32 ring, resident, full, empty, arrived;
};

// Resident activations: where a chunk begins, how far apart its rows are, what all take.
static __device__ __forceinline__ int resident_place(int chunk) {
#ifdef LOAD_BOX
  return chunk * (kColumns * kRowBytes);
#else
  return chunk * (TILE_K * 2);
#endif
}
static __device__ __forceinline__ int resident_pitch(int k) {
#ifdef LOAD_BOX
  return 128;
#else
  return k * 2 + 64;
#endif
}
static __device__ __forceinline__ int resident_bytes(int k) {
#ifdef LOAD_BOX
  return (k + TILE_K - 1) / TILE_K * (kColumns * kRowBytes);
#else
  return kColumns * (k * 2 + 64);
#endif
}

#ifdef LOAD_BOX
// A stage in two copies. Rows and slabs beyond the end arrive as zeros and count as bytes.
static __device__ __forceinline__ void produce(const Problem& p, const Memory& at, int first, int groups,
                                               int step, int rank, int lane) {
  if (lane != 0) {
    return;
  }
  constexpr int kSlabs = TILE_K / 64, kBytesN = TILE_N * kRowBytes, kBytesM = kColumns * kRowBytes;
#ifdef POLICY_EVICT_FIRST
  const coppice_u64 once = coppice_evict_first(), often = coppice_evict_last();
#else
  const coppice_u64 once = coppice_evict_normal(), often = once;
#endif
  const auto bring = [&](int chunk, coppice_u32 to, coppice_u32 barrier) {
    constexpr int kPart = kColumns / SHARE;
    const int row = p.first_column + rank * kPart;
    if (SHARE > 1) {
      coppice_copy_solid_multicast(to + rank * (kPart * kRowBytes), *p.activation_map, 0, row, chunk * kSlabs,
                                   barrier, static_cast<coppice_u16>(((1 << SHARE) - 1) << p.group), often);
    } else {
      coppice_copy_solid(to, *p.activation_map, 0, row, chunk * kSlabs, barrier, often);
    }
  };
  int stage = 0, phase = 1;
  for (int group = first; group < groups; group += step) {
    for (int chunk = p.begin; chunk < p.end; ++chunk) {
      const coppice_u32 full = at.full + 8 * stage, to = at.ring + stage * kStage;
      coppice_barrier_wait(at.empty + 8 * stage, phase);
#ifdef ACTIVATIONS_RESIDENT
      coppice_barrier_expect(full, kBytesN);
      if (group == first) {
        coppice_barrier_expect(at.arrived + 8 * chunk, kBytesM);
        bring(chunk, at.resident + resident_place(chunk), at.arrived + 8 * chunk);
      }
#else
      coppice_barrier_expect(full, kBytesN + kBytesM);
      bring(chunk, to + kBytesN, full);
#endif
      coppice_copy_solid(to, *p.weight_map, 0, (group * SHARE + rank) * TILE_N, chunk * kSlabs, full, once);
      if (++stage == STAGES) {
        stage = 0;
        phase ^= 1;
      }
    }
  }
}
#else
// Activations of one chunk, `pitch` apart; each block of the cluster brings its part to all.
static __device__ __forceinline__ void copy_activations(const Problem& p, int chunk, int bytes,
                                                        coppice_u32 to, int pitch,
                                                        coppice_u32 barrier, int rank, int lane) {
#pragma unroll 1
  for (int c = lane * SHARE + rank; c < p.columns; c += 32 * SHARE) {
    const char* from = p.activations + (static_cast<long long>(c) * p.k + chunk * TILE_K) * 2;
#if SHARE > 1
    coppice_bulk_multicast(to + c * pitch, from, bytes, barrier,
                           static_cast<coppice_u16>(((1 << SHARE) - 1) << p.group));
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
        copy_activations(p, chunk, bytes, at.resident + resident_place(chunk), resident_pitch(p.k),
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

#endif

// One step of 32 along the inner dimension; both pointers are the lane's own. `tile` is where
// the activations of each column tile are.
static __device__ __forceinline__ void multiply(float (&acc)[kRowTiles][COLUMN_TILES][4],
                                                const char* weights, const char* activations,
                                                const int (&tile)[COLUMN_TILES]) {
  uint4 a[kRowTiles][2], b[COLUMN_TILES];
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
    a[r][0] = *reinterpret_cast<const uint4*>(weights + r * (16 * kPitch));
    a[r][1] = *reinterpret_cast<const uint4*>(weights + r * (16 * kPitch) + 8 * kPitch);
  }
#pragma unroll
  for (int c = 0; c < COLUMN_TILES; ++c) {
    b[c] = *reinterpret_cast<const uint4*>(activations + tile[c]);
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

// The block's sums over its slices: to the result, to the workspace, or in place for the cluster.
static __device__ __forceinline__ void finish(const Problem& p, float* sums, char* out,
                                              [[maybe_unused]] float* partial, int row) {
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
      store_pair(out, p.first_column + column, row + 2 * pair, p.n, sum);
#elif defined(REDUCE_CLUSTER)
      *reinterpret_cast<float2*>(place) = sum;
#else
      if (row + 2 * pair < p.n) {
        *reinterpret_cast<float2*>(partial + static_cast<long long>(p.first_column + column) * p.n + row +
                                   2 * pair) = sum;
      }
#endif
    }
  }
}

static __device__ __forceinline__ void consume(const Problem& p, const Memory& at, const char* shared,
                                               float* sums, char* out, float* partial, int first,
                                               int groups, int step, int rank) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int slice = warp % WARPS_K, first_row = warp / WARPS_K * (kRowTiles * 16);
  int tile[COLUMN_TILES];
#ifdef LOAD_BOX
  // A slab's row is 8 pieces, exchanged by the row's number; a step takes the even or the odd ones, so
  // that eight lanes meet all banks.
  constexpr int kPart = kColumns / SHARE;
  const int even = (2 * (lane % 4) ^ (lane / 4)) * 16, odd = even ^ 16;
  const auto weight_at = [&](int s) { return s / 2 * (TILE_N * 128) + (s % 2 != 0 ? odd : even); };
  const auto column_at = [&](int s) { return s / 2 * (kPart * 128) + (s % 2 != 0 ? odd : even); };
#pragma unroll
  for (int c = 0; c < COLUMN_TILES; ++c) {
    tile[c] = c * 8 / kPart * (kPart * kRowBytes) + c * 8 % kPart * 128;
  }
#else
  const auto weight_at = [&](int s) { return s * 64 + lane % 4 * 16; };
  const auto column_at = weight_at;
#pragma unroll
  for (int c = 0; c < COLUMN_TILES; ++c) {
#ifdef ACTIVATIONS_RESIDENT
    tile[c] = c * 8 * resident_pitch(p.k);
#else
    tile[c] = c * 8 * kPitch;
#endif
  }
#endif
  int stage = 0, phase = 0;
  for (int group = first; group < groups; group += step) {
    float acc[kRowTiles][COLUMN_TILES][4] = {};
    for (int chunk = p.begin; chunk < p.end; ++chunk) {
      coppice_barrier_wait(at.full + 8 * stage, phase);
      const char* weights = shared + stage * kStage + (first_row + lane / 4) * kPitch;
#ifdef ACTIVATIONS_RESIDENT
      coppice_barrier_wait(at.arrived + 8 * chunk, 0);
      const char* columns = shared + STAGES * kStage + resident_place(chunk) + lane / 4 * resident_pitch(p.k);
#else
      const char* columns = shared + stage * kStage + TILE_N * kRowBytes + lane / 4 * kPitch;
#endif
      const int steps = min(kSteps, (p.k - chunk * TILE_K) / 32);
      if (steps == kSteps) {
#pragma unroll
        for (int i = 0; i < kSteps / WARPS_K; ++i) {
          const int s = i * WARPS_K + slice;
          multiply(acc, weights + weight_at(s), columns + column_at(s), tile);
        }
      } else {
#pragma unroll 1
        for (int s = slice; s < steps; s += WARPS_K) {
          multiply(acc, weights + weight_at(s), columns + column_at(s), tile);
        }
      }
      __syncwarp();
#if SHARE > 1
      if (lane < SHARE) {
        coppice_barrier_arrive_remote(coppice_map_shared(at.empty + 8 * stage, p.group + lane));
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
    finish(p, sums, out, partial, (group * SHARE + rank) * TILE_N);
    coppice_named_barrier(1, kConsumers * 32);
  }
}

#if SPLIT > 1 && defined(REDUCE_CLUSTER)
// Each block adds up its share of the pairs, reading the others' sums where they lie.
static __device__ __forceinline__ void add_cluster(const Problem& p, const float* sums, char* out, int row,
                                                   int rank, int split) {
  constexpr int kPairs = TILE_N / 2;
  constexpr int kThreads = (kConsumers + 1) * 32;
  const coppice_u32 own = coppice_shared(sums);
  for (int i = split * kThreads + threadIdx.x; i < kColumns * kPairs; i += SPLIT * kThreads) {
    const int pair = i % kPairs, column = i / kPairs;
    if (column < p.columns) {
      float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
      for (int s = 0; s < SPLIT; ++s) {
        const float2 one = coppice_load_cluster_pair(
            coppice_map_shared(own + (column * kSumPitch + 2 * pair) * 4, s * SHARE + rank));
        sum.x += one.x;
        sum.y += one.y;
      }
      store_pair(out, p.first_column + column, row + 2 * pair, p.n, sum);
    }
  }
}
#endif

#if WARM
// The first stages' weights into the L2 cache, while barriers and tensor maps are made ready.
static __device__ __forceinline__ void warm_up(const Problem& p, int first, int rank) {
  const int row = (first * SHARE + rank) * TILE_N + threadIdx.x;
  if (threadIdx.x < TILE_N && row < p.n && p.begin < p.end) {
    const int begin = p.begin * TILE_K;
    const int end = min(p.k, min(p.end, p.begin + STAGES) * TILE_K);
    coppice_bulk_prefetch(p.weights + (static_cast<long long>(row) * p.k + begin) * 2, (end - begin) * 2);
  }
}
#endif

extern "C" __global__ void __launch_bounds__((kConsumers + 1) * 32)
    multiply_rows(const char* activations, const char* weights,
                  const __grid_constant__ coppice_tensor_map activation_map,
                  const __grid_constant__ coppice_tensor_map weight_map, char* out, float* partial,
                  long long m, long long n, long long k) {
  extern __shared__ __align__(1024) char shared[];
  const int first_column = blockIdx.y * kColumns;
  Problem p;
  p.activations = activations + first_column * k * 2;
  p.weights = weights;
  p.activation_map = &activation_map;
  p.weight_map = &weight_map;
  p.first_column = first_column;
  p.columns = min(kColumns, static_cast<int>(m) - first_column);
  p.n = static_cast<int>(n);
  p.k = static_cast<int>(k);
  const int chunks = (p.k + TILE_K - 1) / TILE_K, each = (chunks + SPLIT - 1) / SPLIT;
  const int rank = blockIdx.x % SHARE, split = blockIdx.x / SHARE % SPLIT;
  p.group = kCluster > SHARE ? split * SHARE : 0;
  p.begin = min(chunks, split * each);
  p.end = min(chunks, p.begin + each);
  const int first = blockIdx.x / (SPLIT * SHARE), step = gridDim.x / (SPLIT * SHARE);
  const int groups = (p.n + TILE_N * SHARE - 1) / (TILE_N * SHARE);
#ifdef LOAD_BOX
  if (threadIdx.x == kConsumers * 32) {
    coppice_prefetch_map(weight_map);
    coppice_prefetch_map(activation_map);
  }
#endif
#if WARM
  warm_up(p, first, rank);
#endif
  const int resident = STAGES * kStage;
#ifdef ACTIVATIONS_RESIDENT
  const int sums_at = resident + resident_bytes(p.k);
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
    __syncwarp();
  } else {
    consume(p, at, shared, sums, out, partial + static_cast<long long>(split) * m * n, first, groups, step,
            rank);
  }
#if PDL
  coppice_launch_dependents();
#endif
  if (kCluster > 1) {
    coppice_cluster_sync();  // sums are in place; nobody has left whom others still write to
  }
#if SPLIT > 1 && defined(REDUCE_CLUSTER)
  add_cluster(p, sums, out, (first * SHARE + rank) * TILE_N, rank, split);
  coppice_cluster_sync();
#endif
}

extern "C" __global__ void __launch_bounds__(128)
    add_up(const float* partial, char* out, long long pairs) {
#if PDL
  coppice_wait_for_previous();
#endif
  add_splits<SPLIT>(partial, out, pairs);
}
