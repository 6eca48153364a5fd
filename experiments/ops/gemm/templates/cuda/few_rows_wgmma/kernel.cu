// Few rows on warpgroup tensor cores: weights are the 64-row operand and stream through a ring of
// tensor-map copies, up to 64 activation rows are the columns. The inner dimension is split over the
// blocks of a cluster, each of which keeps its share of the activations in shared memory for all of its
// tiles; a tile's sums meet in the blocks' shared memory, each of which adds up some of the columns.
#include "coppice_wgmma.cuh"

constexpr int kBoxes = TILE_K / 64;    // of 64 elements, the width of the swizzle
constexpr int kBox = ROWS * 128;       // bytes of weights
constexpr int kStage = kBoxes * kBox;
constexpr int kActivations = COLUMNS * 128;  // bytes of a box
constexpr int kRowTiles = ROWS / 64;
constexpr int kConsumers = GROUPS * 128;
constexpr int kEights = COLUMNS / 8 / SPLIT;    // of columns that a block adds up
constexpr int kPiece = kEights * ROWS * 8 * 4;  // bytes of them from one block
constexpr int kSums = SPLIT * kPiece;

// Where things lie in shared memory, and the block's share of the work.
struct Place {
  coppice_u32 ring, activations, sums;
  coppice_u32 full, empty, here, got, free;  // barriers: a stage, a stage, a step, a group, a group
  int rank, tile, tiles, stride;             // of the cluster's tiles
  int begin, steps;                          // of the inner dimension
};

static __device__ __forceinline__ Place place(unsigned char* shared, int n, int k) {
  const int steps = (k + TILE_K - 1) / TILE_K;
  Place p;
  p.rank = blockIdx.x % SPLIT;
  p.tile = blockIdx.x / SPLIT;
  p.stride = gridDim.x / SPLIT;
  p.tiles = (n + ROWS - 1) / ROWS;
  p.begin = p.rank * steps / SPLIT;
  p.steps = (p.rank + 1) * steps / SPLIT - p.begin;
  // The same addresses in all blocks of a cluster, whatever their shares.
  const int most_steps = (steps + SPLIT - 1) / SPLIT;
  p.ring = (coppice_shared(shared) + 1023) / 1024 * 1024;
  p.activations = p.ring + STAGES * kStage;
  p.sums = p.activations + most_steps * kBoxes * kActivations;
  p.full = p.sums + GROUPS * kSums;
  p.empty = p.full + 8 * STAGES;
  p.got = p.empty + 8 * STAGES;
  p.free = p.got + 8 * GROUPS;
  p.here = p.free + 8 * GROUPS;
  return p;
}

static __device__ __forceinline__ void produce(const Place& p, const coppice_tensor_map& activations,
                                               const coppice_tensor_map& weights) {
#ifdef POLICY_EVICT_FIRST
  const coppice_u64 once = coppice_evict_first();
#else
  const coppice_u64 once = coppice_evict_normal();
#endif
  const coppice_u64 often = coppice_evict_last();
  int stage = 0, phase = 1;
  for (int tile = p.tile; tile < p.tiles; tile += p.stride) {
    for (int step = 0; step < p.steps; ++step) {
      coppice_barrier_wait(p.empty + 8 * stage, phase);
      coppice_barrier_expect(p.full + 8 * stage, kStage);
      const int box = (p.begin + step) * kBoxes;
      coppice_copy_solid(p.ring + stage * kStage, weights, 0, tile * ROWS, box, p.full + 8 * stage, once);
      if (tile == p.tile) {
        coppice_barrier_expect(p.here + 8 * step, kBoxes * kActivations);
        coppice_copy_solid(p.activations + step * kBoxes * kActivations, activations, 0, 0, box,
                           p.here + 8 * step, often);
      }
      if (++stage == STAGES) {
        stage = 0;
        phase ^= 1;
      }
    }
  }
}

// The group's place in the ring; the stages of other groups' tiles are passed over.
struct Reader {
  int stage = 0, phase = 0;
  __device__ __forceinline__ void pass(int steps) {
    stage += steps;
    phase ^= stage / STAGES & 1;
    stage %= STAGES;
  }
};

static __device__ __forceinline__ void multiply(float (&acc)[kRowTiles][COLUMNS / 2], const Place& p,
                                                Reader& at, bool is_first) {
  int last = 0;
#pragma unroll 1
  for (int step = 0; step < p.steps; ++step) {
    coppice_barrier_wait(p.full + 8 * at.stage, at.phase);
    if (is_first) {
      coppice_barrier_wait(p.here + 8 * step, 0);
    }
    const coppice_u32 weights = p.ring + at.stage * kStage;
    const coppice_u32 columns = p.activations + step * kBoxes * kActivations;
    coppice_wgmma_fence();
#pragma unroll
    for (int box = 0; box < kBoxes; ++box) {
      const coppice_u64 a = coppice_wgmma_operand(weights + box * kBox);
      const coppice_u64 b = coppice_wgmma_operand(columns + box * kActivations);
#pragma unroll
      for (int i = 0; i < 4; ++i) {  // 16 elements are 32 bytes: 2 in a descriptor
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          coppice_wgmma<COLUMNS>(acc[m], a + m * 512 + i * 2, b + i * 2, step > 0 || box > 0 || i > 0);
        }
      }
    }
    coppice_wgmma_commit();
    if (step > 0) {
      coppice_wgmma_wait<1>();  // the step before has been read
      if (threadIdx.x % 32 == 0) {
        coppice_barrier_arrive(p.empty + 8 * last);
      }
    }
    last = at.stage;
    at.pass(1);
  }
  coppice_wgmma_wait<0>();
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
    coppice_wgmma_hold(acc[m]);
  }
  if (threadIdx.x % 32 == 0) {
    coppice_barrier_arrive(p.empty + 8 * last);
  }
}

// Columns in eights, each to the block that adds it up: rows of eight sums.
static __device__ __forceinline__ void send(const float (&acc)[kRowTiles][COLUMNS / 2], const Place& p, int group) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
  const coppice_u32 own = p.sums + group * kSums + p.rank * kPiece + (warp * 16 + lane / 4) * 32 + lane % 4 * 8;
#pragma unroll
  for (int s = 0; s < SPLIT; ++s) {
    const coppice_u32 to = coppice_map_shared(own, s);
#pragma unroll
    for (int e = 0; e < kEights; ++e) {
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const int i = 4 * (s * kEights + e) + 2 * h;
          coppice_store_cluster_pair(to + ((e * kRowTiles + m) * 64 + h * 8) * 32, acc[m][i], acc[m][i + 1]);
        }
      }
    }
  }
  __syncwarp();
  if (lane < SPLIT) {
    coppice_barrier_arrive_remote(coppice_map_shared(p.got + 8 * group, lane));
  }
}

// Adds what all blocks sent: a thread has four columns of a row.
static __device__ __forceinline__ void add_up(const Place& p, int group, int tile, coppice_bf16* out, int m, int n) {
  const int row = threadIdx.x % 128 / 2, half = threadIdx.x % 2;
  const coppice_u32 from = p.sums + group * kSums + row * 32 + half * 16;
#pragma unroll
  for (int e = 0; e < kEights; ++e) {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      float sum[4] = {};
#pragma unroll
      for (int s = 0; s < SPLIT; ++s) {
        const float4 v = coppice_load_shared4(from + s * kPiece + (e * kRowTiles + r) * (64 * 32));
        sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w;
      }
      const int column = tile * ROWS + r * 64 + row, first = (p.rank * kEights + e) * 8 + half * 4;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (column < n && first + i < m) {
          out[static_cast<long long>(first + i) * n + column] = coppice_to_bf16(sum[i]);
        }
      }
    }
  }
}

static __device__ __forceinline__ void consume(const Place& p, coppice_bf16* out, int m, int n) {
  const int group = threadIdx.x / 128;
  Reader at;
  at.pass(group * p.steps);
  int use = 0;
  for (int tile = p.tile + group * p.stride; tile < p.tiles; tile += GROUPS * p.stride, ++use) {
    float acc[kRowTiles][COLUMNS / 2];  // the first products set them
#if GROUPS > 1  // in turn: who waits for a stage must not be more than one use of it behind
    if (tile != p.tile) {
      coppice_named_barrier(1 + group, 2 * 128);
    }
#endif
    multiply(acc, p, at, use == 0);
#if GROUPS > 1
    if (tile + p.stride < p.tiles) {
      coppice_named_arrive(2 - group, 2 * 128);
    }
#endif
    at.pass((GROUPS - 1) * p.steps);
    if (use > 0) {
      coppice_barrier_wait_cluster(p.free + 8 * group, (use - 1) % 2);
    }
    send(acc, p, group);
    coppice_barrier_wait_cluster(p.got + 8 * group, use % 2);
    add_up(p, group, tile, out, m, n);
    __syncwarp();
    if (threadIdx.x % 32 < SPLIT) {
      coppice_barrier_arrive_remote(coppice_map_shared(p.free + 8 * group, threadIdx.x % 32));
    }
  }
}

extern "C" __global__ void __launch_bounds__(kConsumers + 32, 1)
    multiply_rows(const __grid_constant__ coppice_tensor_map activations,
                  const __grid_constant__ coppice_tensor_map weights, coppice_bf16* out, long long m,
                  long long n, long long k) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const Place p = place(shared, static_cast<int>(n), static_cast<int>(k));
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
      coppice_barrier_init(p.full + 8 * i, 1);
      coppice_barrier_init(p.empty + 8 * i, 4);
    }
    for (int i = 0; i < GROUPS; ++i) {  // a warp of each block says it
      coppice_barrier_init(p.got + 8 * i, 4 * SPLIT);
      coppice_barrier_init(p.free + 8 * i, 4 * SPLIT);
    }
    for (int i = 0; i < p.steps; ++i) {
      coppice_barrier_init(p.here + 8 * i, 1);
    }
    coppice_barrier_fence();
  }
  if (SPLIT > 1) {
    coppice_cluster_sync();
  } else {
    __syncthreads();
  }
  if (threadIdx.x >= kConsumers) {
    if (threadIdx.x == kConsumers) {
      produce(p, activations, weights);
    }
    __syncwarp();
  } else {
    consume(p, out, static_cast<int>(m), static_cast<int>(n));
  }
  if (SPLIT > 1) {
    coppice_cluster_sync();  // nobody leaves whose memory others still write to
  }
}
