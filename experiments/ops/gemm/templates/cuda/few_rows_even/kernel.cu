// Few rows in even shares: all blocks get the same number of tiles of weight rows, whose height follows
// from that, so that no multiprocessor waits for another. Up to 64 activation rows are the one operand of
// warpgroup products, a tile's weight rows the other; both stream through rings of their own, each filled
// by a warp through a tensor map. Where tiles would be too low the inner dimension has as many PARTS as a
// cluster has blocks, and it is shared by WARPGROUPS anyway: all meet in each other's shared memory. Where it
// is not split, blocks of a cluster may stay TOGETHER: each brings its share of the activations to all of them.
#include "coppice_wgmma.cuh"

constexpr int kSlabs = TILE_K / 64;  // of 64 elements, the width of the swizzle
constexpr int kWeights = kSlabs * ROWS * 128;  // bytes of a stage
constexpr int kActivations = kSlabs * 64 * 128;
constexpr int kUnits = PARTS * WARPGROUPS;           // that add up a tile
constexpr int kEights = ROWS / 8;                    // of weight rows
constexpr int kOwned = (kEights + kUnits - 1) / kUnits;  // of which a unit adds up so many for all
constexpr int kPiece = kOwned * 128 * 16;                // bytes of them from one other unit
// Stores that a barrier hears of are for launches in clusters: elsewhere they are an illegal instruction.
#define ASYNC_SEND (ASYNC && PARTS > 1)
enum : int { kInbox = (kUnits - 1) * kPiece };  // may be 0, which a variable must not be
constexpr int kThreads = WARPGROUPS * 128 + 64;
// A stage is one warpgroup's for good, and it lets go of one only after the products of its next.
static_assert(STAGES % WARPGROUPS == 0 && AHEAD % WARPGROUPS == 0);
static_assert(PARTS == 1 || TOGETHER == 1);
static_assert(STAGES >= 2 * WARPGROUPS && AHEAD >= 2 * WARPGROUPS);

// Where things lie in shared memory, and the block's share of the work.
struct Place {
  coppice_u32 weights, activations, inbox;
  coppice_u32 full, empty, full_a, empty_a, got, free;  // barriers: of stages; of warpgroups
  int rank, tile, tiles, stride;                        // of the cluster's tiles
  int begin, steps, shift;                              // of the inner dimension
};

static __device__ __forceinline__ Place place(unsigned char* shared, int n, int k) {
  const int steps = (k + TILE_K - 1) / TILE_K;
  Place p;
  p.rank = blockIdx.x % PARTS;
  p.tile = blockIdx.x / PARTS;
  p.stride = gridDim.x / PARTS;
  p.tiles = (n + ROWS - 1) / ROWS;
  p.begin = p.rank * steps / PARTS;
  p.steps = (p.rank + 1) * steps / PARTS - p.begin;
#if ROTATE  // not all blocks want the same activations at the same time
  p.shift = p.tile / TOGETHER * TOGETHER * p.steps / p.stride;
#else
  p.shift = 0;
#endif
  p.weights = (coppice_shared(shared) + 1023) / 1024 * 1024;
  p.activations = p.weights + STAGES * kWeights;
  p.inbox = p.activations + AHEAD * kActivations;
  p.full = p.inbox + WARPGROUPS * kInbox;
  p.empty = p.full + 8 * STAGES;
  p.full_a = p.empty + 8 * STAGES;
  p.empty_a = p.full_a + 8 * AHEAD;
  p.got = p.empty_a + 8 * AHEAD;
  p.free = p.got + 8 * WARPGROUPS;
  return p;
}

// A stage of a ring, and how often it has been round.
template <int kStages>
struct Turn {
  int stage, phase;
  __device__ __forceinline__ void next(int by) {
    stage += by;
    if (stage >= kStages) {
      stage -= kStages;
      phase ^= 1;
    }
  }
};

// First slab of a step.
static __device__ __forceinline__ int slab_of(const Place& p, int step) {
  const int at = step + p.shift;
  return (p.begin + (at < p.steps ? at : at - p.steps)) * kSlabs;
}

// Whether the cluster has this tile or one beside it: then all its blocks go on, as they share activations.
static __device__ __forceinline__ bool left(const Place& p, int tile) {
  return tile - tile % TOGETHER < p.tiles;
}

static __device__ __forceinline__ void bring_weights(const Place& p, const coppice_tensor_map& map) {
#ifdef POLICY_EVICT_FIRST
  const coppice_u64 policy = coppice_evict_first();
#else
  const coppice_u64 policy = coppice_evict_normal();
#endif
  Turn<STAGES> at = {0, 1};
  for (int tile = p.tile; left(p, tile); tile += p.stride) {
    for (int step = 0; step < p.steps; ++step, at.next(1)) {
      const coppice_u32 full = p.full + 8 * at.stage;
      coppice_barrier_wait(p.empty + 8 * at.stage, at.phase);
      coppice_barrier_expect(full, kWeights);
      coppice_copy_solid(p.weights + at.stage * kWeights, map, 0, tile * ROWS, slab_of(p, step), full, policy);
    }
  }
}

static __device__ __forceinline__ void bring_activations(const Place& p, const coppice_tensor_map& map) {
  const coppice_u64 policy = coppice_evict_last();
  Turn<AHEAD> at = {0, 1};
  for (int tile = p.tile; left(p, tile); tile += p.stride) {
    for (int step = 0; step < p.steps; ++step, at.next(1)) {
      const coppice_u32 full = p.full_a + 8 * at.stage;
      const coppice_u32 to = p.activations + at.stage * kActivations;
#if TOGETHER > 1
      coppice_barrier_wait_cluster(p.empty_a + 8 * at.stage, at.phase);  // in all blocks
      coppice_barrier_expect(full, kActivations);
      constexpr int kShare = 64 / TOGETHER;  // rows
      const int first = static_cast<int>(blockIdx.x) % TOGETHER * kShare;
#pragma unroll
      for (int slab = 0; slab < kSlabs; ++slab) {
        coppice_copy_solid_multicast(to + slab * 8192 + first * 128, map, 0, first, slab_of(p, step) + slab, full,
                                     (1 << TOGETHER) - 1, policy);
      }
#else
      coppice_barrier_wait(p.empty_a + 8 * at.stage, at.phase);
      coppice_barrier_expect(full, kActivations);
      coppice_copy_solid(to, map, 0, 0, slab_of(p, step), full, policy);
#endif
    }
  }
}

static __device__ __forceinline__ void release(const Place& p, int stage, int stage_a) {
  const int lane = threadIdx.x % 32;
  if (lane == 0) {
    coppice_barrier_arrive(p.empty + 8 * stage);
  }
#if TOGETHER > 1
  if (lane < TOGETHER) {
    coppice_barrier_release_remote(coppice_map_shared(p.empty_a + 8 * stage_a, lane));
  }
#else
  if (lane == 0) {
    coppice_barrier_arrive(p.empty_a + 8 * stage_a);
  }
#endif
}

struct Reader {
  Turn<STAGES> w;
  Turn<AHEAD> a;
};

// This warpgroup's steps of a tile, of which the first is number `step`.
static __device__ __forceinline__ void multiply(float (&acc)[ROWS / 2], const Place& p, Reader& at, int step) {
  int last = -1, last_a = 0;
#pragma unroll 1
  for (; step < p.steps; step += WARPGROUPS) {
    coppice_barrier_wait(p.full + 8 * at.w.stage, at.w.phase);
    coppice_barrier_wait(p.full_a + 8 * at.a.stage, at.a.phase);
    coppice_wgmma_fence();
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
      const coppice_u64 a = coppice_wgmma_operand(p.activations + at.a.stage * kActivations + slab * 8192);
      const coppice_u64 b = coppice_wgmma_operand(p.weights + at.w.stage * kWeights + slab * (ROWS * 128));
#pragma unroll
      for (int i = 0; i < 4; ++i) {  // 16 elements are 32 bytes: 2 in a descriptor
        coppice_wgmma<ROWS>(acc, a + i * 2, b + i * 2, 1);
      }
    }
    coppice_wgmma_commit();
    if (last >= 0) {
      coppice_wgmma_wait<1>();  // the step before has been read
      release(p, last, last_a);
    }
    last = at.w.stage;
    last_a = at.a.stage;
    at.w.next(WARPGROUPS);
    at.a.next(WARPGROUPS);
  }
  coppice_wgmma_wait<0>();
  coppice_wgmma_hold(acc);
  if (last >= 0) {
    release(p, last, last_a);
  }
}

#if PARTS * WARPGROUPS > 1
// Into another unit's inbox. Under ASYNC_SEND its barrier hears of the bytes, and nobody waits for an answer.
static __device__ __forceinline__ void send_quad(coppice_u32 to, const float* v, [[maybe_unused]] coppice_u32 got) {
#if ASYNC_SEND
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1,%2,%3,%4}, [%5];" ::"r"(to),
      "f"(v[0]), "f"(v[1]), "f"(v[2]), "f"(v[3]), "r"(got)
      : "memory");
#else
  asm volatile("st.shared::cluster.v4.f32 [%0], {%1,%2,%3,%4};" ::"r"(to), "f"(v[0]), "f"(v[1]), "f"(v[2]), "f"(v[3])
               : "memory");
#endif
}

// To each other unit what it adds up.
static __device__ __forceinline__ void send(const float (&acc)[ROWS / 2], const Place& p, int unit) {
#if ASYNC_SEND
  if (threadIdx.x % 128 == 0) {
    const int mine = max(0, min(kOwned, kEights - unit * kOwned));
    coppice_barrier_expect(p.got + 8 * (unit % WARPGROUPS), (kUnits - 1) * mine * 2048);
  }
#endif
#pragma unroll
  for (int s = 0; s < kUnits; ++s) {
    if (s == unit) {
      continue;
    }
    const int slot = (unit - s - 1 + kUnits) % kUnits;
    const coppice_u32 got = coppice_map_shared(p.got + 8 * (s % WARPGROUPS), s / WARPGROUPS);
    const coppice_u32 to = coppice_map_shared(
        p.inbox + s % WARPGROUPS * kInbox + slot * kPiece + threadIdx.x % 128 * 16, s / WARPGROUPS);
#pragma unroll
    for (int e = 0; e < kOwned; ++e) {
      if (s * kOwned + e < kEights) {
        send_quad(to + e * 2048, acc + 4 * (s * kOwned + e), got);
      }
    }
  }
#if !ASYNC_SEND
  __syncwarp();
  const int lane = threadIdx.x % 32;
  if (lane < kUnits && lane != unit) {
    coppice_barrier_arrive_remote(coppice_map_shared(p.got + 8 * (lane % WARPGROUPS), lane / WARPGROUPS));
  }
#endif
}

static __device__ __forceinline__ void receive(float (&sum)[4], const Place& p, int unit, int e) {
  const coppice_u32 from = p.inbox + unit % WARPGROUPS * kInbox + e * 2048 + threadIdx.x % 128 * 16;
#pragma unroll
  for (int i = 0; i < kUnits - 1; ++i) {
    const float4 v = coppice_load_shared4(from + i * kPiece);
    sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w;
  }
}
#endif

// Four words of each of four lanes, exchanged: lane i of them has then word i of all.
static __device__ __forceinline__ uint4 exchange(const coppice_u32 (&v)[4]) {
  const int q = threadIdx.x % 4;
  coppice_u32 all[4];
  const auto pick = [&](int i) { return i == 0 ? v[0] : i == 1 ? v[1] : i == 2 ? v[2] : v[3]; };
  all[0] = pick(q);
#pragma unroll
  for (int d = 1; d < 4; ++d) {
    all[d] = __shfl_xor_sync(~0u, pick(q ^ d), d);
  }
  const auto from = [&](int lane) {
    const int d = lane ^ q;
    return d == 0 ? all[0] : d == 1 ? all[1] : d == 2 ? all[2] : all[3];
  };
  return make_uint4(from(0), from(1), from(2), from(3));
}

// The sums of the eights from number kFirst on, kCount of them: a thread has two neighbours of two rows.
template <int kFirst, int kCount>
static __device__ __forceinline__ void store(const coppice_u32 (&words)[2][kCount], coppice_bf16* out, int tile, int m,
                                             int n) {
  const int row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4, q = threadIdx.x % 4;
  const int column = tile * ROWS + kFirst * 8;
  const bool whole = n % 8 == 0;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    coppice_bf16* const to = out + static_cast<long long>(row + 8 * h) * n + column;
    const bool live = row + 8 * h < m;
    constexpr int kFours = kCount / 4 * 4;
    if (whole) {
#pragma unroll
      for (int e = 0; e < kFours; e += 4) {
        const coppice_u32 four[4] = {words[h][e], words[h][e + 1], words[h][e + 2], words[h][e + 3]};
        const uint4 v = exchange(four);
        if (live && column + (e + q) * 8 < n) {
          coppice_write(to + (e + q) * 8, v);
        }
      }
    }
#pragma unroll
    for (int e = 0; e < kCount; ++e) {
      if ((e >= kFours || !whole) && live && column + e * 8 + q * 2 < n) {
        *reinterpret_cast<coppice_u32*>(to + e * 8 + q * 2) = words[h][e];
      }
    }
  }
}

// Adds up and stores what unit kUnit owns.
template <int kUnit>
static __device__ __forceinline__ void finish(const float (&acc)[ROWS / 2], const Place& p, coppice_bf16* out,
                                              int tile, int m, int n) {
  constexpr int kFirst = kUnit * kOwned;
  constexpr int kCount = kFirst >= kEights ? 0 : kEights - kFirst < kOwned ? kEights - kFirst : kOwned;
  if constexpr (kCount > 0) {
    coppice_u32 words[2][kCount];
#pragma unroll
    for (int e = 0; e < kCount; ++e) {
      const float* const own = acc + 4 * (kFirst + e);
      float sum[4] = {own[0], own[1], own[2], own[3]};
#if PARTS * WARPGROUPS > 1
      receive(sum, p, kUnit, e);
#endif
      words[0][e] = coppice_pack(sum[0], sum[1]);
      words[1][e] = coppice_pack(sum[2], sum[3]);
    }
    store<kFirst, kCount>(words, out, tile, m, n);
  }
}

template <int kUnit>
static __device__ __forceinline__ void finish_as(int unit, const float (&acc)[ROWS / 2], const Place& p,
                                                 coppice_bf16* out, int tile, int m, int n) {
  if constexpr (kUnit < kUnits) {
    if (unit == kUnit) {
      finish<kUnit>(acc, p, out, tile, m, n);
    } else {
      finish_as<kUnit + 1>(unit, acc, p, out, tile, m, n);
    }
  }
}

static __device__ __forceinline__ void consume(const Place& p, coppice_bf16* out, int m, int n) {
  const int group = threadIdx.x / 128, unit = p.rank * WARPGROUPS + group;
  Reader at = {{group, 0}, {group, 0}};
  int before = 0, use = 0;  // steps of the tiles before this one
  for (int tile = p.tile; left(p, tile); tile += p.stride, before += p.steps, ++use) {
    float acc[ROWS / 2];
#pragma unroll
    for (int i = 0; i < ROWS / 2; ++i) {
      acc[i] = 0.0f;
    }
    multiply(acc, p, at, (group + WARPGROUPS - before % WARPGROUPS) % WARPGROUPS);
#if PARTS * WARPGROUPS > 1
    if (use > 0) {
      coppice_barrier_wait_cluster(p.free + 8 * group, (use - 1) % 2);
    }
#if PARTS > 1
    if (use == 0) {
      coppice_cluster_wait();  // the others' barriers are there
    }
#endif
    send(acc, p, unit);
    coppice_barrier_wait_cluster(p.got + 8 * group, use % 2);
#endif
    finish_as<0>(unit, acc, p, out, tile, m, n);
#if PARTS * WARPGROUPS > 1
    __syncwarp();
    const int lane = threadIdx.x % 32;
    if (tile + p.stride < p.tiles && lane < kUnits && lane != unit) {  // after the last they may be gone
      coppice_barrier_arrive_remote(coppice_map_shared(p.free + 8 * (lane % WARPGROUPS), lane / WARPGROUPS));
    }
#endif
  }
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
    multiply_rows(const __grid_constant__ coppice_tensor_map activations,
                  const __grid_constant__ coppice_tensor_map weights, coppice_bf16* out, long long m, long long n,
                  long long k) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const Place p = place(shared, static_cast<int>(n), static_cast<int>(k));
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
      coppice_barrier_init(p.full + 8 * i, 1);
      coppice_barrier_init(p.empty + 8 * i, 4);
    }
    for (int i = 0; i < AHEAD; ++i) {
      coppice_barrier_init(p.full_a + 8 * i, 1);
      coppice_barrier_init(p.empty_a + 8 * i, 4 * TOGETHER);
    }
#if PARTS * WARPGROUPS > 1
    for (int i = 0; i < WARPGROUPS; ++i) {  // a warp of each other unit says it
      coppice_barrier_init(p.got + 8 * i, ASYNC_SEND ? 1 : 4 * (kUnits - 1));
      coppice_barrier_init(p.free + 8 * i, 4 * (kUnits - 1));
    }
#endif
    coppice_barrier_fence();
  } else if (threadIdx.x == WARPGROUPS * 128) {
    coppice_prefetch_map(weights);
    coppice_prefetch_map(activations);
  }
  __syncthreads();
#if PARTS > 1
  coppice_cluster_arrive();
#elif TOGETHER > 1
  coppice_cluster_sync();  // all barriers are there
#endif
  if (threadIdx.x < WARPGROUPS * 128) {
    consume(p, out, static_cast<int>(m), static_cast<int>(n));
  } else {
    if (threadIdx.x == WARPGROUPS * 128) {
      bring_weights(p, weights);
    } else if (threadIdx.x == WARPGROUPS * 128 + 32) {
      bring_activations(p, activations);
    }
    __syncwarp();
#if PARTS > 1
    coppice_cluster_wait();
#endif
  }
#if TOGETHER > 1
  __syncwarp();
  coppice_cluster_sync();  // nobody goes whom the others still write to
#endif
}
