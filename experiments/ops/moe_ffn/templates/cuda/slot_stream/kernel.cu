// Mixture of experts for one token or very few: one resident kernel streams the weights of each (token,
// choice) slot in long contiguous copies through a shared ring, first the rows of gate and up, then those
// of the second product. A stage belongs to a team of warps, which multiply whole rows. Blocks tell each
// other the first product's values word by word, each with a tag that says that it is there, so that
// nobody waits for a fence or a counter; meanwhile the ring goes on filling with the second product's rows.
// A block has its rows of the result from all slots, so nobody adds up after it. A kernel of one block
// clears the tags first.
#include "coppice_hopper.cuh"

static __device__ __forceinline__ constexpr int min_of(int a, int b) {
  return a < b ? a : b;
}

constexpr int kSlots = TOKENS * TOP_K;
constexpr int kTeams = CREWS, kSharers = SHARERS;
constexpr int kStages = kTeams * DEPTH;  // each team has its own: it sees all phases of their barriers
constexpr int kConsumers = kTeams * kSharers * 32;
constexpr int kStage = STAGE_BYTES;
constexpr int kRowBytes = HIDDEN * 2;           // of gate and up
constexpr int kDownBytes = INTER * 2;
constexpr int kDownRows = kStage / kDownBytes;  // at once
constexpr int kMostRows = (HIDDEN + BLOCKS - 1) / BLOCKS;  // of the result, in a block
constexpr int kPairs = PAIRS / kSharers;                   // of a stage, a warp
constexpr int kRows = (min_of(kDownRows, kMostRows) + kSharers - 1) / kSharers;  // as that, of the second product
constexpr int kAtOnce = kRows < 4 ? kRows : kRows % 4 != 0 && kRows % 3 == 0 ? 3 : 4;
constexpr int kQuads = kSlots * INTER / 4;
constexpr int kThreads = kConsumers + 32;
constexpr float kLog2e = 1.4426950408889634f;
static_assert(PAIRS % kSharers == 0 && kDownRows > 0 && INTER % 8 == 0);

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

// The block's share of all slots' pairs, in stages that do not cross slots. Under TURNS blocks take whole
// stages in turn, as long as there is one for each, else all is one even share.
struct Pairs {
  enum : int { kAll = kSlots * INTER, kRounds = TURNS ? kAll / (BLOCKS * PAIRS) : 0, kDone = kRounds * BLOCKS * PAIRS };
  int round = 0, at, end;
  __device__ __forceinline__ Pairs() {
    at = kDone + static_cast<int>((kAll - kDone) * static_cast<long long>(blockIdx.x) / BLOCKS);
    end = kDone + static_cast<int>((kAll - kDone) * static_cast<long long>(blockIdx.x + 1) / BLOCKS);
  }
  __device__ __forceinline__ bool left() const { return round < kRounds || at < end; }
  __device__ __forceinline__ Piece take() {
    if (round < kRounds) {
      const int pair = (round * BLOCKS + static_cast<int>(blockIdx.x)) * PAIRS;
      ++round;
      return {pair / INTER, pair % INTER, PAIRS};
    }
    const int slot = at / INTER, first = at % INTER, count = min(min(PAIRS, INTER - first), end - at);
    at += count;
    return {slot, first, count};
  }
};

// The block's rows of the result, for one slot after the other, in pieces of about the same size.
struct Rows {
  int slot = 0, begin, end, at, each;
  __device__ __forceinline__ Rows() {
    begin = at = static_cast<int>(static_cast<long long>(HIDDEN) * blockIdx.x / BLOCKS);
    end = static_cast<int>(static_cast<long long>(HIDDEN) * (blockIdx.x + 1) / BLOCKS);
    const int pieces = max(1, (end - begin + kDownRows - 1) / kDownRows);
    each = (end - begin + pieces - 1) / pieces;
  }
  __device__ __forceinline__ bool left() const { return slot < kSlots && begin < end; }
  __device__ __forceinline__ Piece take() {
    const Piece piece{slot, at, min(each, end - at)};
    at += piece.count;
    if (at == end) {
      at = begin;
      ++slot;
    }
    return piece;
  }
};

static __device__ __forceinline__ void consumers_meet() {
  coppice_named_barrier(1, kConsumers);
}
// A word of the exchange: a bf16 above its tag. What one store wrote is seen as a whole.
static __device__ __forceinline__ void tell(coppice_u32* to, float value) {
  const coppice_u32 word = static_cast<coppice_u32>(coppice_to_bf16(value).bits) << 16 | 1;
  asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(to), "r"(word) : "memory");
}
static __device__ __forceinline__ uint4 look(const coppice_u32* from) {
  uint4 v;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0,%1,%2,%3}, [%4];"
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
    const uint4 x = coppice_load_shared16(vector + at);
    uint4 w[kCount];
#pragma unroll
    for (int r = 0; r < kCount; ++r) {
      w[r] = coppice_load_shared16(rows[r] + at);
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

// One lane sends everything, in the order in which the teams take it.
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

// A warp's place: its team, its number there, and the number of the block's stages so far.
struct Place {
  int team, sharer, lane, number;
  __device__ __forceinline__ bool mine() const { return number % kTeams == team; }
  __device__ __forceinline__ coppice_u32 wait(coppice_u32 base) const {
    const int stage = number % kStages;
    coppice_barrier_wait(base + kFull + 8 * stage, number / kStages & 1);
    return base + stage * kStage;
  }
  __device__ __forceinline__ void release(coppice_u32 base) const {
    __syncwarp();
    if (lane == 0) {
      coppice_barrier_arrive(base + kEmpty + 8 * (number % kStages));
    }
  }
};

static __device__ __forceinline__ void first_product(Place& at, coppice_u32 base, coppice_u32* inner) {
  for (Pairs share; share.left(); ++at.number) {
    const Piece piece = share.take();
    if (!at.mine()) {
      continue;
    }
    const coppice_u32 from = at.wait(base);
    coppice_u32 rows[2 * kPairs];
    float sums[2 * kPairs];
#pragma unroll
    for (int r = 0; r < kPairs; ++r) {
      rows[r] = from + (at.sharer + r * kSharers) * kRowBytes;  // what lies behind the last pair counts nothing
      rows[kPairs + r] = rows[r] + PAIRS * kRowBytes;
    }
    dot(sums, rows, base + kTokens + piece.slot / TOP_K * kRowBytes, kRowBytes, at.lane);
    at.release(base);
#pragma unroll
    for (int r = 0; r < kPairs; ++r) {
      const int pair = at.sharer + r * kSharers;
      if (at.lane == r && pair < piece.count) {
        const float gate = sums[r], up = sums[kPairs + r];
        tell(inner + piece.slot * INTER + piece.first + pair,
             __fdividef(gate, 1.0f + coppice_exp2(-kLog2e * gate)) * up);
      }
    }
  }
}

// Two words side by side.
static __device__ __forceinline__ void store_two(coppice_u32 to, coppice_u32 x, coppice_u32 y) {
  asm volatile("st.shared.v2.u32 [%0], {%1,%2};" ::"r"(to), "r"(x), "r"(y) : "memory");
}

// Everybody's values, as soon as they are there.
static __device__ __forceinline__ void gather(coppice_u32 base, const coppice_u32* inner) {
  constexpr int kBatch = 4;
  for (int first = threadIdx.x; first < kQuads; first += kBatch * kConsumers) {
    uint4 v[kBatch];
    coppice_u32 there;
    do {
      there = 1;
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        v[i] = look(inner + 4 * min(first + i * kConsumers, kQuads - 1));
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        there &= v[i].x & v[i].y & v[i].z & v[i].w;
      }
    } while ((there & 1) == 0);
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (first + i * kConsumers < kQuads) {
        store_two(base + kInner + 8 * (first + i * kConsumers), v[i].x >> 16 | (v[i].y & 0xffff0000u),
                              v[i].z >> 16 | (v[i].w & 0xffff0000u));
      }
    }
  }
}

static __device__ __forceinline__ void second_product(Place& at, coppice_u32 base, float (*parts)[kMostRows]) {
  Rows mine;
  for (Rows share; share.left(); ++at.number) {
    const Piece piece = share.take();
    if (!at.mine()) {
      continue;
    }
    const coppice_u32 from = at.wait(base);
    for (int r = at.sharer; r < piece.count; r += kAtOnce * kSharers) {
      coppice_u32 rows[kAtOnce];
      float sums[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        rows[i] = from + min(r + i * kSharers, piece.count - 1) * kDownBytes;
      }
      dot(sums, rows, base + kInner + piece.slot * kDownBytes, kDownBytes, at.lane);
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (at.lane == i && r + i * kSharers < piece.count) {
          parts[piece.slot][piece.first + r + i * kSharers - mine.begin] = sums[i];
        }
      }
    }
    at.release(base);
  }
}

extern "C" __global__ void __launch_bounds__(512)
    clear(coppice_u32* inner, const int* ids, const char* x) {
#if PDL
  coppice_launch_dependents();
#endif
  for (int i = threadIdx.x; i < kQuads; i += 512) {
    coppice_write(inner + 4 * i, make_uint4(0, 0, 0, 0));
  }
  // All blocks will ask for these at once.
  for (int at = threadIdx.x * 128; at < TOKENS * kRowBytes; at += 512 * 128) {
    coppice_prefetch(x + at);
  }
  if (threadIdx.x * 32 < kSlots) {
    coppice_prefetch(ids + threadIdx.x * 32);
  }
}

extern "C" __global__ void __launch_bounds__(kThreads)
    stream(const char* x, const char* gate_up, const char* down, const int* ids, const float* routing,
           coppice_u32* inner, coppice_bf16* out) {
  extern __shared__ __align__(128) unsigned char shared[];
  const int warp = threadIdx.x / 32;
  const coppice_u32 base = coppice_shared(shared);
  if (threadIdx.x == kConsumers) {
    for (int i = 0; i < kStages; ++i) {
      coppice_barrier_init(base + kFull + 8 * i, 1);
      coppice_barrier_init(base + kEmpty + 8 * i, kSharers);
    }
    coppice_barrier_fence();
  }
  __syncthreads();
  if (threadIdx.x >= kConsumers) {
    if (threadIdx.x == kConsumers) {
      send(gate_up, down, ids, base);
    }
    return;
  }
  for (int at = threadIdx.x * 16; at < TOKENS * kRowBytes; at += kConsumers * 16) {
    coppice_store_shared16(base + kTokens + at, coppice_load_once(x + at));
  }
  consumers_meet();
#if PDL
  coppice_wait_for_previous();  // the tags are clear
#endif
  Place at{warp % kTeams, warp / kTeams, static_cast<int>(threadIdx.x) % 32, 0};
  first_product(at, base, inner);
  gather(base, inner);
  consumers_meet();
  auto* const parts = reinterpret_cast<float(*)[kMostRows]>(shared + kParts);
  second_product(at, base, parts);
  consumers_meet();
  const Rows mine;
  const int rows = mine.end - mine.begin;
  for (int i = threadIdx.x; i < rows * TOKENS; i += kConsumers) {
    const int row = i % rows, token = i / rows;
    float sum = 0.0f;
#pragma unroll
    for (int j = 0; j < TOP_K; ++j) {
      sum += routing[token * TOP_K + j] * parts[token * TOP_K + j][row];
    }
    out[static_cast<long long>(token) * HIDDEN + mine.begin + row] = coppice_to_bf16(sum);
  }
}
