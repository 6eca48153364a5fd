// Many rows: one thread brings tiles of both operands through tensor maps into a swizzled ring,
// warpgroups multiply them from there. X is the operand whose rows the warpgroups share (64 of an
// instruction), Y the other one: activations and weights, or with SWAP the other way round. Blocks of
// a cluster may share tiles: each brings its part to all. The inner dimension may be split over
// blocks, whose sums meet in the cluster or in a second kernel.
#include "coppice_hopper.cuh"

constexpr int kBoxes = TILE_K / 64;  // of 64 elements, the width of the swizzle
// How many of them a copy brings: all, or one where blocks bring parts of each other's.
constexpr int kOnceX = SHARE_X > 1 ? 1 : kBoxes, kOnceY = SHARE_Y > 1 ? 1 : kBoxes;
constexpr int kBoxX = TILE_X * 128, kBoxY = TILE_Y * 128;
constexpr int kStage = kBoxes * (kBoxX + kBoxY);
constexpr int kConsumers = WARPGROUPS * 128;
constexpr int kTilesX = TILE_X / 64 / WARPGROUPS;  // of a warpgroup
constexpr int kCluster = SHARE_X * SHARE_Y;
constexpr int kTargets = SHARE_X + SHARE_Y - 1;  // blocks that a block writes to
constexpr int kRows = SWAP ? TILE_Y : TILE_X;    // of the result
constexpr int kColumns = SWAP ? TILE_X : TILE_Y;
#if SPLIT > 1 && defined(REDUCE_CLUSTER)
#define MEET 1  // a constant of the value 0 would become a device variable
constexpr int kPitch = (kColumns + 4) * 4;
#else
#define MEET 0
constexpr int kPitch = kColumns * 2 + 16;
#endif
constexpr int kRing = STAGES * kStage;
constexpr int kArea = kRing > kRows * kPitch ? kRing : kRows * kPitch;

struct Tile {
  int x, y;             // first row of each operand
  int part_x, part_y;   // which part of each this block brings
  coppice_u16 blocks_x, blocks_y;  // that get it
  int begin, end;       // chunks of the inner dimension
};

static __device__ __forceinline__ Tile place(int size_x, int size_y, int k) {
  const int rank = blockIdx.x % kCluster, cluster = blockIdx.x / kCluster;
  const int all_x = (size_x + TILE_X * SHARE_Y - 1) / (TILE_X * SHARE_Y);
  const int all_y = (size_y + TILE_Y * SHARE_X - 1) / (TILE_Y * SHARE_X);
  // Tiles of GROUP neighbours along x go together: what they read of y stays in the cache.
  const int first = cluster / (GROUP * all_y) * GROUP, inside = cluster % (GROUP * all_y);
  const int wide = min(GROUP, all_x - first);
  Tile t;
  t.part_x = rank % SHARE_X;
  t.part_y = rank / SHARE_X;
  t.x = ((first + inside % wide) * SHARE_Y + t.part_y) * TILE_X;
  t.y = (inside / wide * SHARE_X + t.part_x) * TILE_Y;
  t.blocks_x = static_cast<coppice_u16>(((1 << SHARE_X) - 1) << (t.part_y * SHARE_X));
  t.blocks_y = 0;
#pragma unroll
  for (int i = 0; i < SHARE_Y; ++i) {
    t.blocks_y |= static_cast<coppice_u16>(1 << (i * SHARE_X + t.part_x));
  }
  const int chunks = (k + TILE_K - 1) / TILE_K;  // at least one for each split
  t.begin = static_cast<int>(blockIdx.z) * chunks / SPLIT;
  t.end = (static_cast<int>(blockIdx.z) + 1) * chunks / SPLIT;
  return t;
}

// The block's part of an operand's tile of one chunk; `blocks` get it.
template <int kOnce, int kShare>
static __device__ __forceinline__ void bring(const coppice_tensor_map& map, int row, int chunk, coppice_u32 to,
                                             int box_bytes, coppice_u32 full, coppice_u16 blocks,
                                             coppice_u64 policy) {
#pragma unroll
  for (int box = 0; box < kBoxes; box += kOnce) {
    if constexpr (kShare > 1) {
      coppice_copy_solid_multicast(to + box * box_bytes, map, 0, row, chunk * kBoxes + box, full, blocks, policy);
    } else {
      coppice_copy_solid(to + box * box_bytes, map, 0, row, chunk * kBoxes + box, full, policy);
    }
  }
}

static __device__ __forceinline__ void produce(const coppice_tensor_map& x, const coppice_tensor_map& y,
                                               const Tile& t, coppice_u32 ring, coppice_u32 full,
                                               coppice_u32 empty) {
#ifdef POLICY_EVICT_FIRST
  const coppice_u64 once = coppice_evict_first(), often = coppice_evict_last();
#else
  const coppice_u64 once = coppice_evict_normal(), often = once;
#endif
  int stage = 0, phase = 1;
  for (int chunk = t.begin; chunk < t.end; ++chunk) {
    coppice_barrier_wait(empty + 8 * stage, phase);
    coppice_barrier_expect(full + 8 * stage, kStage);
    const coppice_u32 to = ring + stage * kStage;
    bring<kOnceX, SHARE_X>(x, t.x + t.part_x * (TILE_X / SHARE_X), chunk, to + t.part_x * (kBoxX / SHARE_X),
                           kBoxX, full + 8 * stage, t.blocks_x, SWAP ? once : often);
    bring<kOnceY, SHARE_Y>(y, t.y + t.part_y * (TILE_Y / SHARE_Y), chunk,
                           to + kBoxes * kBoxX + t.part_y * (kBoxY / SHARE_Y), kBoxY, full + 8 * stage,
                           t.blocks_y, SWAP ? often : once);
    if (++stage == STAGES) {
      stage = 0;
      phase ^= 1;
    }
  }
}

// Tells all who write into this block's stage that one of its warpgroups has read it.
static __device__ __forceinline__ void release(const Tile& t, coppice_u32 empty) {
#if SHARE_X * SHARE_Y > 1
  const int i = threadIdx.x % 128;
  if (i < kTargets) {
    const int rank = i < SHARE_X ? t.part_y * SHARE_X + i : (i - SHARE_X + 1 + t.part_y) % SHARE_Y * SHARE_X + t.part_x;
    coppice_barrier_arrive_remote(coppice_map_shared(empty, rank));
  }
#else
  if (threadIdx.x % 128 == 0) {
    coppice_barrier_arrive(empty);
  }
#endif
}

static __device__ __forceinline__ void multiply(float (&acc)[kTilesX][TILE_Y / 2], const Tile& t,
                                                coppice_u32 ring, coppice_u32 full, coppice_u32 empty) {
  const int group = threadIdx.x / 128;
  int stage = 0, phase = 0, last = 0;
  for (int chunk = t.begin; chunk < t.end; ++chunk) {
    coppice_barrier_wait(full + 8 * stage, phase);
    const coppice_u32 x = ring + stage * kStage + group * (kTilesX * 64 * 128);
    const coppice_u32 y = ring + stage * kStage + kBoxes * kBoxX;
    coppice_wgmma_fence();
#pragma unroll
    for (int box = 0; box < kBoxes; ++box) {
#pragma unroll
      for (int step = 0; step < 4; ++step) {
#pragma unroll
        for (int i = 0; i < kTilesX; ++i) {
          coppice_wgmma(acc[i], coppice_wgmma_operand(x + box * kBoxX + i * (64 * 128)) + 2 * step,
                        coppice_wgmma_operand(y + box * kBoxY) + 2 * step,
                        chunk > t.begin || box > 0 || step > 0);
        }
      }
    }
    coppice_wgmma_commit();
    coppice_wgmma_wait<1>();  // the chunk before is through
    if (chunk > t.begin) {
      release(t, empty + 8 * last);
    }
    last = stage;
    if (++stage == STAGES) {
      stage = 0;
      phase ^= 1;
    }
  }
  coppice_wgmma_wait<0>();
  release(t, empty + 8 * last);
}

// Calls visit(row of x, column of y, two sums that are neighbours along y), rows and columns of the tile.
template <class Visit>
static __device__ __forceinline__ void each_pair(const float (&acc)[kTilesX][TILE_Y / 2], Visit visit) {
  const int lane = threadIdx.x % 32, row = threadIdx.x / 128 * (kTilesX * 64) + threadIdx.x % 128 / 32 * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < kTilesX; ++i) {
#pragma unroll
    for (int c = 0; c < TILE_Y / 8; ++c) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        visit(row + i * 64 + h * 8, c * 8 + 2 * (lane % 4), acc[i][4 * c + 2 * h], acc[i][4 * c + 2 * h + 1]);
      }
    }
  }
}

// The tile into shared memory, as rows of the result: bf16, or f32 for the cluster to add up.
static __device__ __forceinline__ void stage_tile(const float (&acc)[kTilesX][TILE_Y / 2], char* area) {
  each_pair(acc, [&](int x, int y, float low, float high) {
    if constexpr (MEET != 0) {
      float* at = reinterpret_cast<float*>(area + (SWAP ? y : x) * kPitch) + (SWAP ? x : y);
      at[0] = low;
      at[SWAP ? kPitch / 4 : 1] = high;
    } else if constexpr (SWAP) {
      const coppice_u32 both = coppice_pack(low, high);
      *reinterpret_cast<coppice_u16*>(area + y * kPitch + x * 2) = static_cast<coppice_u16>(both);
      *reinterpret_cast<coppice_u16*>(area + (y + 1) * kPitch + x * 2) = static_cast<coppice_u16>(both >> 16);
    } else {
      *reinterpret_cast<coppice_u32*>(area + x * kPitch + y * 2) = coppice_pack(low, high);
    }
  });
}

// Eight neighbours of the staged tile, summed over the cluster where it was split.
static __device__ __forceinline__ uint4 eight(const char* area, int row, int column) {
#if SPLIT > 1 && defined(REDUCE_CLUSTER)
  const coppice_u32 own = coppice_shared(area + row * kPitch + column * 4);
  float sum[8] = {};
#pragma unroll
  for (int s = 0; s < SPLIT; ++s) {
    const float4 low = coppice_load_cluster_quad(coppice_map_shared(own, s));
    const float4 high = coppice_load_cluster_quad(coppice_map_shared(own + 16, s));
    sum[0] += low.x, sum[1] += low.y, sum[2] += low.z, sum[3] += low.w;
    sum[4] += high.x, sum[5] += high.y, sum[6] += high.z, sum[7] += high.w;
  }
  return make_uint4(coppice_pack(sum[0], sum[1]), coppice_pack(sum[2], sum[3]),
                    coppice_pack(sum[4], sum[5]), coppice_pack(sum[6], sum[7]));
#else
  return *reinterpret_cast<const uint4*>(area + row * kPitch + column * 2);
#endif
}

static __device__ __forceinline__ void write_tile(const char* area, char* out, const Tile& t, int m, int n) {
  constexpr int kWide = kColumns / 8;
  const int first_row = SWAP ? t.y : t.x, first_column = SWAP ? t.x : t.y;
  const int part = MEET ? blockIdx.z : 0, parts = MEET ? SPLIT : 1;
  for (int i = part * kConsumers + threadIdx.x; i < kRows * kWide; i += parts * kConsumers) {
    const int row = i / kWide, column = i % kWide * 8;
    if (first_row + row < m && first_column + column < n) {
      coppice_write(out + (static_cast<long long>(first_row + row) * n + first_column + column) * 2,
                    eight(area, row, column));
    }
  }
}

static __device__ __forceinline__ void write_partial(const float (&acc)[kTilesX][TILE_Y / 2], float* partial,
                                                     const Tile& t, int m, int n) {
  partial += static_cast<long long>(blockIdx.z) * m * n;
  each_pair(acc, [&](int x, int y, float low, float high) {
    const int row = SWAP ? t.y + y : t.x + x, column = SWAP ? t.x + x : t.y + y;
    float* at = partial + static_cast<long long>(row) * n + column;
    if (SWAP) {
      if (column < n && row < m) {
        at[0] = low;
      }
      if (column < n && row + 1 < m) {
        at[n] = high;
      }
    } else if (row < m && column < n) {
      *reinterpret_cast<float2*>(at) = make_float2(low, high);
    }
  });
}

extern "C" __global__ void __launch_bounds__(kConsumers + 32, 1)
    multiply_tiles(const __grid_constant__ coppice_tensor_map activations,
                   const __grid_constant__ coppice_tensor_map weights, char* out, float* partial,
                   long long m, long long n, long long k) {
  extern __shared__ __align__(1024) char shared[];
  const Tile t = place(static_cast<int>(SWAP ? n : m), static_cast<int>(SWAP ? m : n), static_cast<int>(k));
  const coppice_u32 start = coppice_shared(shared), ring = (start + 1023) & ~1023u;
  [[maybe_unused]] char* area = shared + (ring - start);
  const coppice_u32 full = ring + kArea, empty = full + 8 * STAGES;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
      coppice_barrier_init(full + 8 * i, 1);
      coppice_barrier_init(empty + 8 * i, WARPGROUPS * kTargets);
    }
    coppice_barrier_fence();
  }
  if (kCluster > 1) {
    coppice_cluster_sync();
  } else {
    __syncthreads();
  }
  if (threadIdx.x >= kConsumers) {
    if (threadIdx.x == kConsumers) {
      produce(SWAP ? weights : activations, SWAP ? activations : weights, t, ring, full, empty);
    }
    __syncwarp();
  } else {
    float acc[kTilesX][TILE_Y / 2];  // the first products set them
    multiply(acc, t, ring, full, empty);
#if SPLIT > 1 && !defined(REDUCE_CLUSTER)
    write_partial(acc, partial, t, static_cast<int>(m), static_cast<int>(n));
#else
    coppice_named_barrier(1, kConsumers);  // nobody reads the ring any more
    stage_tile(acc, area);
    coppice_named_barrier(1, kConsumers);
#endif
  }
#if PDL
  coppice_launch_dependents();
#endif
  if (kCluster > 1 || MEET) {
    coppice_cluster_sync();  // others' sums are in place; nobody has left whom others still call
  }
#if SPLIT == 1 || defined(REDUCE_CLUSTER)
  if (threadIdx.x < kConsumers) {
    write_tile(area, out, t, static_cast<int>(m), static_cast<int>(n));
  }
#endif
  if (MEET) {
    coppice_cluster_sync();
  }
}

extern "C" __global__ void __launch_bounds__(128)
    add_up(const float4* partial, uint2* out, long long quads) {
#if PDL
  coppice_wait_for_previous();
#endif
  const long long i = blockIdx.x * 128ll + threadIdx.x;
  if (i < quads) {
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int s = 0; s < SPLIT; ++s) {
      const float4 one = __ldcg(partial + s * quads + i);
      sum.x += one.x;
      sum.y += one.y;
      sum.z += one.z;
      sum.w += one.w;
    }
    out[i] = make_uint2(coppice_pack(sum.x, sum.y), coppice_pack(sum.z, sum.w));
  }
}
