// Mixture of experts for few tokens as two kernels that run side by side: in both each warp streams its own
// share of the weights through its own ring of bulk copies, with neither sort nor merge. The second one
// starts early, asks for its weights at once (a ring full into shared memory, the rest into L2), and only
// then waits for the first one's results, so that memory does not rest in between. A block of the second has
// its rows of the result from all choices of a token.
#include "coppice_hopper.cuh"

constexpr int kSlots = TOKENS * TOP_K;
constexpr int kUpBytes = HIDDEN * 2, kDownBytes = INTER * 2;  // of a row
constexpr int kUpStage = (kUpBytes + 127) / 128 * 128;
constexpr int kDownStage = (ROWS * kDownBytes + 127) / 128 * 128;
constexpr int kUpChunks = (HIDDEN + 255) / 256, kDownChunks = (INTER + 255) / 256;  // of 8 elements a lane
constexpr int kMostRows = 32;                                  // of the result, in a block: a lane each
constexpr int kAhead = 16;                                     // most copies of a warp that go into L2 beforehand
constexpr int kParts = WARPS >= TOP_K ? WARPS / TOP_K : 1;     // of a block's rows
constexpr float kLog2e = 1.4426950408889634f;
// Shared memory: rings, then tokens and barriers, or barriers and sums.
constexpr int kX = WARPS * STAGES_UP * kUpStage, kUpFull = kX + kUpBytes;
constexpr int kDownFull = WARPS * STAGES_DOWN * kDownStage, kSums = kDownFull + 8 * WARPS * STAGES_DOWN;

static __device__ __forceinline__ coppice_u64 stream_policy() {
#ifdef POLICY_EVICT_FIRST
  return coppice_evict_first();
#else
  return coppice_evict_normal();
#endif
}
static __device__ __forceinline__ void fetch(coppice_u32 to, const void* from, int bytes, coppice_u32 full,
                                             coppice_u64 policy) {
  coppice_barrier_expect(full, bytes);
  coppice_bulk_policy(to, from, bytes, full, policy);
}
static __device__ __forceinline__ void widen8(float (&to)[8], const uint4& v) {
  const coppice_u32 words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = coppice_low(words[i]);
    to[2 * i + 1] = coppice_high(words[i]);
  }
}
static __device__ __forceinline__ float sum_of_warp(float v) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) {
    v += __shfl_xor_sync(~0u, v, d);
  }
  return v;
}
// Whether this lane has elements of chunk c of a row.
template <int kCount>
static __device__ __forceinline__ bool within(int c, int lane) {
  return (c + 1) * 256 <= kCount || c * 256 + lane * 8 < kCount;
}
// This lane's share of a row's product with the vector of which it has v.
template <int kCount, int kChunks>
static __device__ __forceinline__ float part_of_dot(coppice_u32 row, const float (&v)[kChunks][8], int lane) {
  float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    if (within<kCount>(c, lane)) {
      float w[8];
      widen8(w, coppice_load_shared16(row + c * 512 + lane * 16));
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        sum[i % 4] += w[i] * v[c][i];
      }
    }
  }
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// A place in a ring.
template <int kStages>
struct Turn {
  int stage = 0, phase = 0;
  __device__ __forceinline__ void next() {
    if (++stage == kStages) {
      stage = 0;
      phase ^= 1;
    }
  }
};

// A warp's rows of gate and up: copies 2 i and 2 i + 1 are the gate's and the up row of its i-th unit, an
// index of a slot.
struct Upward {
  const coppice_bf16* weights;
  const int* ids;
  coppice_u64 policy;
  coppice_u32 ring, full;
  int first, step, units;
  int slot, expert;  // of the copy before

  __device__ __forceinline__ Upward(const coppice_bf16* from, const int* experts, coppice_u32 base, int warp)
      : weights(from), ids(experts), policy(stream_policy()) {
    ring = base + warp * (STAGES_UP * kUpStage);
    full = base + kUpFull + warp * (8 * STAGES_UP);
    constexpr int kAll = kSlots * INTER;
    const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
#if defined(ORDER_GRID)  // at any time all warps are in one narrow piece of memory
    first = warp * blocks + block;
    step = blocks * WARPS;
    const int end = kAll;
#elif defined(ORDER_BLOCK)
    first = static_cast<int>(static_cast<long long>(kAll) * block / blocks) + warp;
    step = WARPS;
    const int end = static_cast<int>(static_cast<long long>(kAll) * (block + 1) / blocks);
#else
    const int index = block * WARPS + warp, all = blocks * WARPS;
    first = static_cast<int>(static_cast<long long>(kAll) * index / all);
    step = 1;
    const int end = static_cast<int>(static_cast<long long>(kAll) * (index + 1) / all);
#endif
    units = first < end ? (end - first + step - 1) / step : 0;
    slot = -1;
    expert = 0;
  }
  __device__ __forceinline__ void find(int unit) {
    if (unit / INTER != slot) {
      slot = unit / INTER;
      expert = ids[slot];
    }
  }
  __device__ __forceinline__ void issue(int copy) {
    if (copy < 2 * units) {
      const int unit = first + copy / 2 * step, row = unit % INTER + (copy & 1) * INTER, at = copy % STAGES_UP;
      find(unit);
      fetch(ring + at * kUpStage, weights + (static_cast<long long>(expert) * (2 * INTER) + row) * HIDDEN, kUpBytes,
            full + 8 * at, policy);
    }
  }
};

// One token's elements that this lane multiplies.
static __device__ __forceinline__ void read_token(float (&v)[kUpChunks][8], const coppice_bf16* x, coppice_u32 shared_x,
                                                  int token, int lane) {
#pragma unroll
  for (int c = 0; c < kUpChunks; ++c) {
    uint4 raw = make_uint4(0, 0, 0, 0);
    if (within<HIDDEN>(c, lane)) {
      if (TOKENS == 1) {
        raw = coppice_load_shared16(shared_x + c * 512 + lane * 16);
      } else {
        raw = coppice_load_once(x + static_cast<long long>(token) * HIDDEN + c * 256 + lane * 8);
      }
    }
    widen8(v[c], raw);
  }
}

// Barriers, the first copies, and the only token into shared memory.
static __device__ __forceinline__ void begin_upward(Upward& feed, const coppice_bf16* x, coppice_u32 base, int lane,
                                                    bool may_follow) {
  uint4 of_x = make_uint4(0, 0, 0, 0);
  if (TOKENS == 1 && threadIdx.x < HIDDEN / 8) {
    of_x = coppice_load_once(x + 8 * threadIdx.x);
  }
  if (lane == 0) {
    if (feed.units > 0) {  // the first expert is on its way while the barriers are made
      feed.find(feed.first);
    }
    for (int i = 0; i < STAGES_UP; ++i) {
      coppice_barrier_init(feed.full + 8 * i, 1);
    }
    coppice_barrier_fence();
#pragma unroll 1
    for (int copy = 0; copy < STAGES_UP; ++copy) {
      feed.issue(copy);
    }
    if (may_follow && threadIdx.x == 0) {  // at once: what follows here takes a while
      coppice_launch_dependents();
    }
  }
  __syncwarp();
  if (TOKENS == 1) {
    if (threadIdx.x < HIDDEN / 8) {
      coppice_store_shared16(base + kX + 16 * threadIdx.x, of_x);
    }
    if constexpr (HIDDEN / 8 > WARPS * 32) {
#pragma unroll 1
      for (int i = WARPS * 32 + threadIdx.x; i < HIDDEN / 8; i += WARPS * 32) {
        coppice_store_shared16(base + kX + 16 * i, coppice_load_once(x + 8 * i));
      }
    }
  }
  __syncthreads();
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 2)
    gate_up(const coppice_bf16* x, const coppice_bf16* weights, const int* ids, float* inner) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const coppice_u32 base = coppice_shared(shared);
  Upward feed(weights, ids, base, warp);
  // After this copy of a warp the next kernel may come, when all blocks say so.
  const int last = 2 * feed.units - 1 - LEAD;
  begin_upward(feed, x, base, lane, last < STAGES_UP);
  Turn<STAGES_UP> at;
  int copy = 0, token = -1;
  float v[kUpChunks][8];
#pragma unroll 1
  for (int u = 0; u < feed.units; ++u) {
    const int unit = feed.first + u * feed.step;
    if (unit / (INTER * TOP_K) != token) {
      token = unit / (INTER * TOP_K);
      read_token(v, x, base + kX, token, lane);
    }
    float sums[2];
#pragma unroll
    for (int i = 0; i < 2; ++i, ++copy, at.next()) {
      coppice_barrier_wait(feed.full + 8 * at.stage, at.phase);
      sums[i] = sum_of_warp(part_of_dot<HIDDEN, kUpChunks>(feed.ring + at.stage * kUpStage, v, lane));
      __syncwarp();  // all lanes have read: the sums went around the warp
      if (lane == 0) {
        feed.issue(copy + STAGES_UP);
        if (warp == 0 && copy + STAGES_UP == last) {
          coppice_launch_dependents();
        }
      }
    }
    if (lane == 0) {
      inner[unit] = __fdividef(sums[0], 1.0f + coppice_exp2(-kLog2e * sums[0])) * sums[1];
    }
  }
}

// A warp's rows of the second product: for each token, for each of its choices, pieces of ROWS rows.
struct Downward {
  const coppice_bf16* weights;
  const int* ids;
  coppice_u64 policy;
  coppice_u32 ring, full;
  int row, block_rows;          // of the result, the block's
  int first_row, rows;          // of those, this warp's
  int choice, choices, pieces;  // choice, choice + WARPS, ...; copies of each
  int copies;
  int slot, expert;  // of the copy before

  __device__ __forceinline__ Downward(const coppice_bf16* from, const int* experts, coppice_u32 base, int warp)
      : weights(from), ids(experts), policy(stream_policy()) {
    ring = base + warp * (STAGES_DOWN * kDownStage);
    full = base + kDownFull + warp * (8 * STAGES_DOWN);
    const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
    row = HIDDEN * block / blocks;
    block_rows = HIDDEN * (block + 1) / blocks - row;
    choice = WARPS >= TOP_K ? warp % TOP_K : warp;
    const int part = WARPS >= TOP_K ? warp / TOP_K : 0;
    choices = WARPS >= TOP_K ? part < kParts : (TOP_K - warp + WARPS - 1) / WARPS;
    first_row = block_rows * min(part, kParts) / kParts;
    rows = part < kParts ? block_rows * (part + 1) / kParts - first_row : 0;
    pieces = (rows + ROWS - 1) / ROWS;
    copies = TOKENS * choices * pieces;
    slot = -1;
    expert = 0;
  }
  __device__ __forceinline__ const coppice_bf16* find(int copy, int& bytes) {
    const int piece = copy % pieces, v = copy / pieces, mine = v / choices * TOP_K + choice + v % choices * WARPS;
    if (mine != slot) {
      slot = mine;
      expert = ids[mine];
    }
    bytes = min(ROWS, rows - piece * ROWS) * kDownBytes;
    return weights + (static_cast<long long>(expert) * HIDDEN + row + first_row + piece * ROWS) * INTER;
  }
  __device__ __forceinline__ void issue(int copy) {
    if (copy < copies) {
      int bytes;
      const coppice_bf16* from = find(copy, bytes);
      const int at = copy % STAGES_DOWN;
      fetch(ring + at * kDownStage, from, bytes, full + 8 * at, policy);
    }
  }
  __device__ __forceinline__ void look_ahead(int copy) {
    if (copy < copies) {
      int bytes;
      const coppice_bf16* from = find(copy, bytes);
      coppice_bulk_prefetch(from, bytes);
    }
  }
};

// A slot's values that this lane multiplies, with the routing weight.
static __device__ __forceinline__ void read_inner(float (&v)[kDownChunks][8], const float* inner, float weight,
                                                  int lane) {
#pragma unroll
  for (int c = 0; c < kDownChunks; ++c) {
    float4 low = make_float4(0.0f, 0.0f, 0.0f, 0.0f), high = low;
    if (within<INTER>(c, lane)) {
      low = coppice_load_coherent4(inner + c * 256 + lane * 8);
      high = coppice_load_coherent4(inner + c * 256 + lane * 8 + 4);
    }
    const float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      v[c][i] = values[i] * weight;
    }
  }
}

// Of the block's row `lane`: the sum over this warp's choices of a token.
static __device__ __forceinline__ float add_choices(Downward& feed, Turn<STAGES_DOWN>& at, int& copy, int token,
                                                    const float* routing, const float* inner, int lane) {
  float total = 0.0f;
#pragma unroll 1
  for (int c = 0; c < feed.choices && feed.pieces > 0; ++c) {
    const int slot = token * TOP_K + feed.choice + c * WARPS;
    float v[kDownChunks][8];
    read_inner(v, inner + static_cast<long long>(slot) * INTER, routing[slot], lane);
#pragma unroll 1
    for (int piece = 0; piece < feed.pieces; ++piece) {
      coppice_barrier_wait(feed.full + 8 * at.stage, at.phase);
      const int first = piece * ROWS;
      float sums[ROWS];
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {  // beyond the last row lies what was there before: dropped
        sums[r] = part_of_dot<INTER, kDownChunks>(feed.ring + at.stage * kDownStage + r * kDownBytes, v, lane);
      }
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        const float sum = sum_of_warp(sums[r]);
        if (first + r < feed.rows && lane == feed.first_row + first + r) {
          total += sum;
        }
      }
      __syncwarp();
      if (lane == 0) {
        feed.issue(copy + STAGES_DOWN);
      }
      ++copy;
      at.next();
    }
  }
  return total;
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 2)
    down(const coppice_bf16* weights, const int* ids, const float* routing, const float* inner, coppice_bf16* out) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Downward feed(weights, ids, coppice_shared(shared), warp);
  if (lane == 0) {
    if (feed.copies > 0) {
      int bytes;
      feed.find(0, bytes);
    }
    for (int i = 0; i < STAGES_DOWN; ++i) {
      coppice_barrier_init(feed.full + 8 * i, 1);
    }
    coppice_barrier_fence();
#pragma unroll 1
    for (int copy = 0; copy < STAGES_DOWN; ++copy) {
      feed.issue(copy);
    }
#pragma unroll 1
    for (int copy = STAGES_DOWN; copy < STAGES_DOWN + kAhead; ++copy) {
      feed.look_ahead(copy);
    }
  }
  if (threadIdx.x * 32 < kSlots) {
    coppice_prefetch(routing + threadIdx.x * 32);
  }
  __syncwarp();
  coppice_wait_for_previous();  // nothing of the first kernel is read before
  __syncthreads();
  float(*const sums)[kMostRows] = reinterpret_cast<float(*)[kMostRows]>(shared + kSums);
  Turn<STAGES_DOWN> at;
  int copy = 0;
#pragma unroll 1
  for (int token = 0; token < TOKENS; ++token) {
    sums[warp][lane] = add_choices(feed, at, copy, token, routing, inner, lane);
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < feed.block_rows) {
      float sum = 0.0f;
#pragma unroll
      for (int w = 0; w < WARPS; ++w) {
        sum += sums[w][threadIdx.x];
      }
      out[static_cast<long long>(token) * HIDDEN + feed.row + threadIdx.x] = coppice_to_bf16(sum);
    }
    if (token + 1 < TOKENS) {
      __syncthreads();
    }
  }
}
