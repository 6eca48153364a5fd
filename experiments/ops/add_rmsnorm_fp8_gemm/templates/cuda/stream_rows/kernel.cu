// Few rows: e4m3 weights stream once through a ring in shared memory that one thread fills from a tensor
// map, and are the 16-row operand of tensor cores; the quantised rows are the columns and stay in shared
// memory. Where they come from is the question: a kernel of their own norms and quantises them while the
// ring fills (fusion separate), or each block, or each cluster of blocks, does that for itself while the
// ring fills (fusion inside; share says how many blocks divide the rows among them and hand them round).
// An inner product may visit its dimension in any order: a thread's 16 bytes stand for the elements that
// two instructions want from it, in both operands alike.
#include "fp8_rows.cuh"

constexpr int kColumnTiles = ROW_TILES;  // of quantised rows, which are the product's columns
constexpr int kColumns = 8 * kColumnTiles;
constexpr int kConsumers = WARPS_N * WARPS_K;
constexpr int kRowTiles = TILE_N / 16 / WARPS_N;  // of a warp
constexpr int kSteps = TILE_K / 64;
constexpr int kSumPitch = TILE_N + 4;
constexpr int kWeights = TILE_N * TILE_K;  // bytes of a stage
// No constants: one of value 0 would come out as a variable on the device.
#ifdef KEEP_ROWS_RING
enum : int { kStage = kWeights + kColumns * TILE_K, kResident = 0, kRowWarps = ROW_WARPS };
#else
enum : int { kStage = kWeights, kResident = (HIDDEN + 127) / 128 * (kColumns * 128), kRowWarps = 0 };
#endif
constexpr int kChunks = (HIDDEN + TILE_K - 1) / TILE_K;

struct Memory {
  coppice_u32 ring, rows, full, empty;
  float *sums, *scales, *norms;
};

// Where byte `k` of row `column` lies: slabs of 128, their 16-byte pieces exchanged by the row's number,
// as tensor maps do it.
static __device__ __forceinline__ int place_of(int column, int k) {
  return k / 128 * (kColumns * 128) + column * 128 + ((k / 16 ^ column) & 7) * 16 + k % 16;
}

static __device__ __forceinline__ void multiply_e4m3(float (&d)[4], const coppice_u32 (&a)[4], coppice_u32 b0,
                                                     coppice_u32 b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ void produce(const coppice_tensor_map& map, const Memory& at, int tiles) {
#ifdef POLICY_EVICT_FIRST
  const coppice_u64 policy = coppice_evict_first();
#else
  const coppice_u64 policy = coppice_evict_normal();
#endif
  int stage = 0, phase = 1;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const coppice_u32 full = at.full + 8 * stage;
      coppice_barrier_wait(at.empty + 8 * stage, phase);
      coppice_barrier_expect(full, kWeights);
      coppice_copy_solid(at.ring + stage * kStage, map, 0, tile * TILE_N, chunk * (TILE_K / 128), full, policy);
      if (++stage == STAGES) {
        stage = 0;
        phase ^= 1;
      }
    }
  }
}

// ---- the quantised rows of this block ----

#if defined(KEEP_ROWS_RING)
// A warp that brings its share of the rows' pieces to each stage.
static __device__ __forceinline__ void send_rows(const char* activations, const Memory& at, int first, int columns,
                                                 int tiles, int warp) {
  const char* from = activations + static_cast<long long>(first) * HIDDEN;
  int stage = 0, phase = 1;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int pieces = min(TILE_K, HIDDEN - chunk * TILE_K) / 16;
      const coppice_u32 to = at.ring + stage * kStage + kWeights;
      coppice_barrier_wait(at.empty + 8 * stage, phase);
#pragma unroll 4
      for (int i = warp * 32 + threadIdx.x % 32; i < columns * pieces; i += kRowWarps * 32) {
        const int column = i / pieces, k = i % pieces * 16;
        coppice_copy16(to + place_of(column, k), from + static_cast<long long>(column) * HIDDEN + chunk * TILE_K + k);
      }
      coppice_barrier_arrive_when_copied(at.full + 8 * stage);
      if (++stage == STAGES) {
        stage = 0;
        phase ^= 1;
      }
    }
  }
  coppice_commit();  // a wait is for committed copies only
  coppice_wait_copies<0>();
}
#elif defined(FUSION_SEPARATE)
static __device__ __forceinline__ void bring_rows(const char* activations, const Memory& at, int first,
                                                  int columns) {
  constexpr int kRowPieces = HIDDEN / 16;
  const char* from = activations + static_cast<long long>(first) * HIDDEN;
  for (int i = threadIdx.x; i < columns * kRowPieces; i += kConsumers * 32) {
    const int column = i / kRowPieces, k = i % kRowPieces * 16;
    coppice_copy16(at.rows + place_of(column, k), from + static_cast<long long>(column) * HIDDEN + k);
  }
  coppice_commit();  // a wait is for committed copies only
  coppice_wait_copies<0>();
}
#else
static __device__ __forceinline__ void make_rows(const RowInput& input, uint4* updated, const Memory& at, int first,
                                                 int columns) {
  constexpr int kGroups = kConsumers / NORM_WARPS;
  const int group = threadIdx.x / kGroupThreads, thread = threadIdx.x % kGroupThreads;
  const int rank = blockIdx.x % SHARE, crew = blockIdx.x / SHARE, crews = gridDim.x / SHARE;
  const auto meet = [&] { coppice_named_barrier(2 + group, kGroupThreads); };
  for (int column = group * SHARE + rank; column < columns; column += kGroups * SHARE) {
    const long long from = static_cast<long long>(first + column) * (HIDDEN / 8);
    const bool mine = (first + column) % crews == crew;  // one crew writes the updated residual
    const RowInput row{input.x + from, input.residual + from, input.weight, mine ? updated + from : nullptr,
                       input.eps};
    const float scale = quantise_row(row, at.norms + group * (2 * NORM_WARPS), thread, meet, [&](int k, const uint2& q) {
      const coppice_u32 to = at.rows + place_of(column, k);
#if SHARE > 1
#pragma unroll
      for (int other = 0; other < SHARE; ++other) {
        asm volatile("st.shared::cluster.v2.u32 [%0], {%1,%2};" ::"r"(coppice_map_shared(to, other)), "r"(q.x),
                     "r"(q.y)
                     : "memory");
      }
#else
      asm volatile("st.shared.v2.u32 [%0], {%1,%2};" ::"r"(to), "r"(q.x), "r"(q.y) : "memory");
#endif
    });
    if (thread == 0) {
#if SHARE > 1
#pragma unroll
      for (int other = 0; other < SHARE; ++other) {
        coppice_store_cluster(coppice_map_shared(coppice_shared(at.scales + column), other), scale);
      }
#else
      at.scales[column] = scale;
#endif
    }
  }
}
#endif

// ---- products ----

// One step of 64 along the inner dimension; both pointers are the lane's own.
static __device__ __forceinline__ void multiply(float (&acc)[kRowTiles][kColumnTiles][4], const char* weights,
                                                const char* rows) {
  uint4 a[kRowTiles][2], b[kColumnTiles];
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
    a[r][0] = *reinterpret_cast<const uint4*>(weights + r * (16 * 128));
    a[r][1] = *reinterpret_cast<const uint4*>(weights + r * (16 * 128) + 8 * 128);
  }
#pragma unroll
  for (int c = 0; c < kColumnTiles; ++c) {
    b[c] = *reinterpret_cast<const uint4*>(rows + c * (8 * 128));
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const coppice_u32 fragment[4] = {fp8_word(a[r][0], 2 * half), fp8_word(a[r][1], 2 * half),
                                       fp8_word(a[r][0], 2 * half + 1), fp8_word(a[r][1], 2 * half + 1)};
#pragma unroll
      for (int c = 0; c < kColumnTiles; ++c) {
        multiply_e4m3(acc[r][c], fragment, fp8_word(b[c], 2 * half), fp8_word(b[c], 2 * half + 1));
      }
    }
  }
}

// A warp's sums: sums[slice][column][row].
static __device__ __forceinline__ void spill(const float (&acc)[kRowTiles][kColumnTiles][4], float* sums, int slice,
                                             int first_row, int lane) {
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int c = 0; c < kColumnTiles; ++c) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = first_row + r * 16 + lane / 4 + i / 2 * 8;
        const int column = c * 8 + 2 * (lane % 4) + i % 2;
        sums[(slice * kColumns + column) * kSumPitch + row] = acc[r][c][i];
      }
    }
  }
}

// The block's sums over its slices, scaled, to the result. `row` and `n` are even.
static __device__ __forceinline__ void finish(const Memory& at, const float* weight_scale, char* out, int first,
                                              int columns, int row, int n) {
  constexpr int kPairs = TILE_N / 2;
  for (int i = threadIdx.x; i < columns * kPairs; i += kConsumers * 32) {
    const int at_row = row + i % kPairs * 2, column = i / kPairs;
    if (at_row < n) {
      const float* place = at.sums + column * kSumPitch + i % kPairs * 2;
      float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
      for (int s = 0; s < WARPS_K; ++s) {
        const float2 one = *reinterpret_cast<const float2*>(place + s * kColumns * kSumPitch);
        sum.x += one.x;
        sum.y += one.y;
      }
      const float2 scale = __ldg(reinterpret_cast<const float2*>(weight_scale + at_row));
      const float mine = at.scales[column];
      *reinterpret_cast<coppice_u32*>(out + (static_cast<long long>(first + column) * n + at_row) * 2) =
          coppice_pack(sum.x * (mine * scale.x), sum.y * (mine * scale.y));
    }
  }
}

static __device__ __forceinline__ void consume(const Memory& at, const char* shared, const float* weight_scale,
                                               char* out, int first, int columns, int n, int tiles) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int slice = warp % WARPS_K, first_row = warp / WARPS_K * (kRowTiles * 16);
  // A slab's row is 8 pieces, exchanged by the row's number; a step takes the even or the odd ones, so
  // that eight lanes meet all banks.
  const int even = (2 * (lane % 4) ^ (lane / 4)) * 16, odd = even ^ 16;
  int stage = 0, phase = 0;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    float acc[kRowTiles][kColumnTiles][4] = {};
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      coppice_barrier_wait(at.full + 8 * stage, phase);
      const char* weights = shared + stage * kStage + (first_row + lane / 4) * 128;
#ifdef KEEP_ROWS_RING
      const char* columns_at = shared + stage * kStage + kWeights + lane / 4 * 128;
#else
      const char* columns_at = shared + STAGES * kStage + chunk * (TILE_K / 128) * (kColumns * 128) + lane / 4 * 128;
#endif
      const int steps = min(kSteps, (HIDDEN - chunk * TILE_K) / 64);
#pragma unroll
      for (int i = 0; i < kSteps / WARPS_K; ++i) {
        const int s = i * WARPS_K + slice, within = s % 2 != 0 ? odd : even;
        if (HIDDEN % TILE_K == 0 || s < steps) {
          multiply(acc, weights + s / 2 * (TILE_N * 128) + within, columns_at + s / 2 * (kColumns * 128) + within);
        }
      }
      __syncwarp();
      if (lane == 0) {
        coppice_barrier_arrive(at.empty + 8 * stage);
      }
      if (++stage == STAGES) {
        stage = 0;
        phase ^= 1;
      }
    }
    spill(acc, at.sums, slice, first_row, lane);
    coppice_named_barrier(1, kConsumers * 32);
    finish(at, weight_scale, out, first, columns, tile * TILE_N, n);
    coppice_named_barrier(1, kConsumers * 32);
  }
}

extern "C" __global__ void __launch_bounds__((kConsumers + 1 + kRowWarps) * 32)
    multiply_rows(const uint4* x, const uint4* residual, const uint4* norm_weight, uint4* updated,
                  const char* activations, const float* scales, const __grid_constant__ coppice_tensor_map weight,
                  const float* weight_scale, char* out, long long rows, long long n, float eps) {
  extern __shared__ __align__(1024) char shared[];
  const int first = blockIdx.y * kColumns, columns = min(kColumns, static_cast<int>(rows) - first);
  const int tiles = (static_cast<int>(n) + TILE_N - 1) / TILE_N;
  Memory at;
  at.ring = coppice_shared(shared);
  at.rows = at.ring + STAGES * kStage;
  at.sums = reinterpret_cast<float*>(shared + STAGES * kStage + kResident);
  at.scales = at.sums + WARPS_K * kColumns * kSumPitch;
  at.norms = at.scales + kColumns;
  at.full = coppice_shared(at.norms + 2 * kConsumers);
  at.empty = at.full + 8 * STAGES;
  if (threadIdx.x == kConsumers * 32) {
    coppice_prefetch_map(weight);
    for (int i = 0; i < STAGES; ++i) {
      coppice_barrier_init(at.full + 8 * i, 1 + 32 * kRowWarps);
      coppice_barrier_init(at.empty + 8 * i, kConsumers);
    }
    coppice_barrier_fence();
  }
#if defined(FUSION_INSIDE) && SHARE > 1
  coppice_cluster_sync();  // all blocks are there before rows are handed round
#else
  __syncthreads();
#endif
  if (threadIdx.x / 32 == kConsumers) {
#if defined(FUSION_INSIDE) && SHARE > 1
    coppice_cluster_arrive();
#endif
    if (threadIdx.x % 32 == 0) {
      produce(weight, at, tiles);
    }
    __syncwarp();
#if defined(FUSION_INSIDE) && SHARE > 1
    coppice_cluster_wait();
#endif
    return;
  }
#ifdef FUSION_SEPARATE
#if PDL
  coppice_wait_for_previous();
#endif
#ifdef KEEP_ROWS_RING
  if (threadIdx.x / 32 > kConsumers) {
    send_rows(activations, at, first, columns, tiles, threadIdx.x / 32 - kConsumers - 1);
    return;
  }
#else
  bring_rows(activations, at, first, columns);
#endif
  if (threadIdx.x < columns) {
    at.scales[threadIdx.x] = __ldcg(scales + first + threadIdx.x);
  }
#else
  make_rows({x, residual, norm_weight, nullptr, eps}, updated, at, first, columns);
#if SHARE > 1
  __syncwarp();
  coppice_cluster_arrive();
  coppice_cluster_wait();
#endif
#endif
  coppice_named_barrier(1, kConsumers * 32);
  consume(at, shared, weight_scale, out, first, columns, static_cast<int>(n), tiles);
}

#ifdef FUSION_SEPARATE
// One row a block.
extern "C" __global__ void __launch_bounds__(kGroupThreads)
    normalise(const uint4* x, const uint4* residual, const uint4* norm_weight, uint4* updated, uint2* activations,
              float* scales, float eps) {
  __shared__ float norms[2 * NORM_WARPS];
#if PDL
  coppice_launch_dependents();
#endif
  const long long from = blockIdx.x * (HIDDEN / 8ll);
  const RowInput row{x + from, residual + from, norm_weight, updated + from, eps};
  const float scale = quantise_row(row, norms, threadIdx.x, [] { __syncthreads(); },
                                   [&](int k, const uint2& q) { activations[from + k / 8] = q; });
  if (threadIdx.x == 0) {
    scales[blockIdx.x] = scale;
  }
}
#else
extern "C" __global__ void normalise() {}
#endif
