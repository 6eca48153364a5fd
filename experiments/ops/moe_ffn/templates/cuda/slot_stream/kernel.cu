// Mixture of experts for one token or very few: one resident kernel streams the weights of each (token,
// choice) slot in long contiguous copies through a shared ring, first the rows of gate and up, then those
// of the second product. Each warp multiplies whole rows. The ring goes on filling with the second
// product's rows while all blocks wait for the last of the first, so memory does not rest; a block has
// its rows of the result from all slots, so nobody adds up after it. A kernel of one warp zeroes the
// counter at which blocks meet.
#include "coppice_hopper.cuh"

constexpr int kSlots = TOKENS * TOP_K;
constexpr int kStages = WARPS * DEPTH;  // each warp has its own: it sees all phases of their barriers
constexpr int kStage = STAGE_BYTES;
constexpr int kRowBytes = HIDDEN * 2;           // of gate and up
constexpr int kDownBytes = INTER * 2;
constexpr int kDownRows = kStage / kDownBytes;  // at once
constexpr int kMostRows = (HIDDEN + BLOCKS - 1) / BLOCKS + 1;  // of the result, in a block
constexpr int kAtOnce = 4;
constexpr int kThreads = (WARPS + 1) * 32;
constexpr float kLog2e = 1.4426950408889634f;

// Shared memory.
constexpr int kTokens = kStages * kStage;                     // all tokens' rows, bf16
constexpr int kInner = kTokens + TOKENS * kRowBytes;         // [slot][inter], bf16
constexpr int kParts = kInner + kSlots * kDownBytes;         // [slot][row], f32
constexpr int kFull = (kParts + kSlots * kMostRows * 4 + 7) / 8 * 8;
constexpr int kEmpty = kFull + kStages * 8;

// Some pairs of rows (gate and up) of a slot, or rows of its second product.
struct Piece {
  int slot, first, count;
};

// The block's share of all slots' pairs, in stages that do not cross slots.
struct Pairs {
  long long at, end;
  __device__ __forceinline__ Pairs() {
    constexpr long long kAll = static_cast<long long>(kSlots) * INTER;
    at = kAll * blockIdx.x / BLOCKS;
    end = kAll * (blockIdx.x + 1) / BLOCKS;
  }
  __device__ __forceinline__ bool left() const { return at < end; }
  __device__ __forceinline__ Piece take() {
    const int slot = static_cast<int>(at / INTER), first = static_cast<int>(at % INTER);
    const int count = static_cast<int>(min(static_cast<long long>(min(PAIRS, INTER - first)), end - at));
    at += count;
    return {slot, first, count};
  }
};

// The block's rows of the result, for one slot after the other.
struct Rows {
  int slot = 0, begin, end, at;
  __device__ __forceinline__ Rows() {
    begin = at = static_cast<int>(static_cast<long long>(HIDDEN) * blockIdx.x / BLOCKS);
    end = static_cast<int>(static_cast<long long>(HIDDEN) * (blockIdx.x + 1) / BLOCKS);
  }
  __device__ __forceinline__ bool left() const { return slot < kSlots && begin < end; }
  __device__ __forceinline__ Piece take() {
    const Piece piece{slot, at, min(kDownRows, end - at)};
    at += piece.count;
    if (at == end) {
      at = begin;
      ++slot;
    }
    return piece;
  }
};

static __device__ __forceinline__ void consumers_meet() {
  coppice_named_barrier(1, WARPS * 32);
}
static __device__ __forceinline__ uint4 load_shared16(coppice_u32 from) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(from)
               : "memory");
  return v;
}
static __device__ __forceinline__ uint4 load_coherent16(const void* from) {
  uint4 v;
  asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from)
               : "memory");
  return v;
}

// Dot products of kCount rows, `pitch` bytes apart, with one vector; all lanes have the sums.
template <int kCount>
static __device__ __forceinline__ void dot(float (&sums)[kCount], const coppice_u32 (&rows)[kCount],
                                           coppice_u32 vector, int bytes, int lane) {
#pragma unroll
  for (int r = 0; r < kCount; ++r) {
    sums[r] = 0.0f;
  }
#pragma unroll 2
  for (int at = lane * 16; at < bytes; at += 512) {
    const uint4 x = load_shared16(vector + at);
    uint4 w[kCount];
#pragma unroll
    for (int r = 0; r < kCount; ++r) {
      w[r] = load_shared16(rows[r] + at);
    }
#pragma unroll
    for (int r = 0; r < kCount; ++r) {
      sums[r] = fmaf(coppice_low(x.x), coppice_low(w[r].x), sums[r]);
      sums[r] = fmaf(coppice_high(x.x), coppice_high(w[r].x), sums[r]);
      sums[r] = fmaf(coppice_low(x.y), coppice_low(w[r].y), sums[r]);
      sums[r] = fmaf(coppice_high(x.y), coppice_high(w[r].y), sums[r]);
      sums[r] = fmaf(coppice_low(x.z), coppice_low(w[r].z), sums[r]);
      sums[r] = fmaf(coppice_high(x.z), coppice_high(w[r].z), sums[r]);
      sums[r] = fmaf(coppice_low(x.w), coppice_low(w[r].w), sums[r]);
      sums[r] = fmaf(coppice_high(x.w), coppice_high(w[r].w), sums[r]);
    }
  }
#pragma unroll
  for (int r = 0; r < kCount; ++r) {
#pragma unroll
    for (int d = 1; d < 32; d <<= 1) {
      sums[r] += __shfl_xor_sync(~0u, sums[r], d);
    }
  }
}

// One lane sends everything, in the order in which the warps take it.
static __device__ __forceinline__ void send(const char* gate_up, const char* down, const int* ids,
                                            coppice_u32 base) {
#ifdef POLICY_EVICT_FIRST
  const coppice_u64 policy = coppice_evict_first();
#else
  const coppice_u64 policy = coppice_evict_normal();
#endif
  int stage = 0, phase = 1;
  const auto next = [&] {
    if (++stage == kStages) {
      stage = 0;
      phase ^= 1;
    }
  };
  for (Pairs at; at.left(); next()) {
    const Piece piece = at.take();
    const coppice_u32 full = base + kFull + 8 * stage, to = base + stage * kStage;
    const char* from = gate_up + (static_cast<long long>(ids[piece.slot]) * 2 * INTER + piece.first) * kRowBytes;
    coppice_barrier_wait(base + kEmpty + 8 * stage, phase);
    coppice_barrier_expect(full, 2 * piece.count * kRowBytes);
    coppice_bulk_policy(to, from, piece.count * kRowBytes, full, policy);
    coppice_bulk_policy(to + PAIRS * kRowBytes, from + static_cast<long long>(INTER) * kRowBytes,
                        piece.count * kRowBytes, full, policy);
  }
  for (Rows at; at.left(); next()) {
    const Piece piece = at.take();
    const coppice_u32 full = base + kFull + 8 * stage;
    const char* from = down + (static_cast<long long>(ids[piece.slot]) * HIDDEN + piece.first) * kDownBytes;
    coppice_barrier_wait(base + kEmpty + 8 * stage, phase);
    coppice_barrier_expect(full, piece.count * kDownBytes);
    coppice_bulk_policy(base + stage * kStage, from, piece.count * kDownBytes, full, policy);
  }
}

extern "C" __global__ void clear(int* arrived) {
#if PDL
  coppice_launch_dependents();
#endif
  if (threadIdx.x == 0) {
    *arrived = 0;
  }
}

extern "C" __global__ void __launch_bounds__(kThreads)
    stream(const char* x, const char* gate_up, const char* down, const int* ids, const float* routing,
           coppice_bf16* inner, int* arrived, coppice_bf16* out) {
  extern __shared__ __align__(128) unsigned char shared[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const coppice_u32 base = coppice_shared(shared);
  if (threadIdx.x == WARPS * 32) {
    for (int i = 0; i < kStages; ++i) {
      coppice_barrier_init(base + kFull + 8 * i, 1);
      coppice_barrier_init(base + kEmpty + 8 * i, 1);
    }
    coppice_barrier_fence();
  }
  __syncthreads();
  if (warp == WARPS) {
    if (lane == 0) {
      send(gate_up, down, ids, base);
    }
    return;
  }
  for (int at = threadIdx.x * 16; at < TOKENS * kRowBytes; at += WARPS * 32 * 16) {
    coppice_store_shared16(base + kTokens + at, coppice_load_once(x + at));
  }
  consumers_meet();
  int number = 0;  // of the stages so far
  for (Pairs at; at.left(); ++number) {
    const Piece piece = at.take();
    if (number % WARPS != warp) {
      continue;
    }
    const int stage = number % kStages;
    const coppice_u32 from = base + stage * kStage;
    coppice_barrier_wait(base + kFull + 8 * stage, number / kStages & 1);
    coppice_u32 rows[2 * PAIRS];
    float sums[2 * PAIRS];
#pragma unroll
    for (int r = 0; r < 2 * PAIRS; ++r) {
      rows[r] = from + r * kRowBytes;  // what lies behind the last pair counts nothing
    }
    dot(sums, rows, base + kTokens + piece.slot / TOP_K * kRowBytes, kRowBytes, lane);
    if (lane == 0) {
      coppice_barrier_arrive(base + kEmpty + 8 * stage);
    }
#pragma unroll
    for (int r = 0; r < PAIRS; ++r) {
      if (lane == r && r < piece.count) {
        const float gate = sums[r], up = sums[PAIRS + r];
        inner[static_cast<long long>(piece.slot) * INTER + piece.first + r] =
            coppice_to_bf16(__fdividef(gate, 1.0f + coppice_exp2(-kLog2e * gate)) * up);
      }
    }
  }
  // All blocks meet: what they found of the first product is the second one's vector.
  __threadfence();
  consumers_meet();
  if (threadIdx.x == 0) {
#if PDL
    coppice_wait_for_previous();  // the counter is zero
#endif
    atomicAdd(arrived, 1);
    int seen;
    do {
      asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(arrived) : "memory");
    } while (seen != BLOCKS);
  }
  consumers_meet();
  for (int at = threadIdx.x * 16; at < kSlots * kDownBytes; at += WARPS * 32 * 16) {
    coppice_store_shared16(base + kInner + at, load_coherent16(reinterpret_cast<const char*>(inner) + at));
  }
  consumers_meet();
  auto* const parts = reinterpret_cast<float(*)[kMostRows]>(shared + kParts);
  Rows mine;
  for (Rows at; at.left(); ++number) {
    const Piece piece = at.take();
    if (number % WARPS != warp) {
      continue;
    }
    const int stage = number % kStages;
    coppice_barrier_wait(base + kFull + 8 * stage, number / kStages & 1);
    for (int r = 0; r < piece.count; r += kAtOnce) {
      coppice_u32 rows[kAtOnce];
      float sums[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        rows[i] = base + stage * kStage + min(r + i, piece.count - 1) * kDownBytes;
      }
      dot(sums, rows, base + kInner + piece.slot * kDownBytes, kDownBytes, lane);
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (lane == i && r + i < piece.count) {
          parts[piece.slot][piece.first + r + i - mine.begin] = sums[i];
        }
      }
    }
    __syncwarp();
    if (lane == 0) {
      coppice_barrier_arrive(base + kEmpty + 8 * stage);
    }
  }
  consumers_meet();
  const int rows = mine.end - mine.begin;
  for (int i = threadIdx.x; i < rows * TOKENS; i += WARPS * 32) {
    const int row = i % rows, token = i / rows;
    float sum = 0.0f;
#pragma unroll
    for (int j = 0; j < TOP_K; ++j) {
      sum += routing[token * TOP_K + j] * parts[token * TOP_K + j][row];
    }
    out[static_cast<long long>(token) * HIDDEN + mine.begin + row] = coppice_to_bf16(sum);
  }
}
