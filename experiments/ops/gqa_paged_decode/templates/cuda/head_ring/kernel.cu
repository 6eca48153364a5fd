// Decode attention in one kernel: a block has a share of one sequence's keys and values of one head,
// which comes through tensor maps into a deep shared ring: all of it copied by one warp, a lane a tile,
// while the others compute, or under OWN by each warp for itself. The blocks of a (sequence, head) are a
// cluster and merge what they found through each other's shared memory, so nothing goes back to global
// memory but the result.
#include "attend_tile.cuh"

constexpr int kStages = WARPS * DEPTH;  // each warp has its own: it sees all phases of their barriers
constexpr int kSlab = kTile * 128;             // 64 columns of all tokens, swizzled
constexpr int kHalf = HEAD_DIM / 64 * kSlab;   // keys, then values
constexpr int kStage = 2 * kHalf;
constexpr int kRecord = HEAD_DIM + 2;
constexpr int kResults = GROUP * HEAD_DIM;
constexpr int kOwned = kResults / SPLITS;      // that a block merges for its cluster
constexpr int kRun = kOwned < HEAD_DIM ? kOwned : HEAD_DIM;  // of which so many belong to one head
constexpr int kTilesPerPage = PAGE_SIZE / kTile;
constexpr int kThreads = (WARPS + (OWN ? 0 : 1)) * 32;
constexpr float kLog2e = 1.4426950408889634f;

// Shared memory, from a multiple of 1,024 on: the ring, then
constexpr int kInbox = kStages * kStage;                  // [split][owned] f32
constexpr int kInboxWeights = kInbox + kResults * 4;      // [split][head of mine] (maximum, sum)
constexpr int kFull = kInboxWeights + SPLITS * (kOwned / kRun) * 8;
constexpr int kEmpty = kFull + kStages * 8;
#if SPLITS > 1
constexpr int kGot = kEmpty + kStages * 8;                // barrier of the inbox
constexpr int kMail = kResults * 4 + SPLITS * (kOwned / kRun) * 8;  // bytes that come to each block
#endif

struct Layout {
  enum : bool { kClears = true };
  static __device__ __forceinline__ int place(int row, int sixteen) {
    return sixteen / 8 * kSlab + row * 128 + ((sixteen ^ row) & 7) * 16;
  }
};

static __device__ __forceinline__ float weight_of(float top, float all) {
  return top == -COPPICE_INFINITY ? 0.0f : coppice_exp2(top - all);
}

static __device__ __forceinline__ void finish(coppice_bf16* out, float* lse, int head, int d,
                                              float value, float top, float sum) {
  out[static_cast<long long>(head) * HEAD_DIM + d] = coppice_to_bf16(sum > 0.0f ? value / sum : 0.0f);
  if (d == 0) {
    lse[head] = sum > 0.0f ? top + log2f(sum) : -COPPICE_INFINITY;
  }
}

// One record for each query head: what this warp found, unnormalised, its maximum and its sum.
static __device__ __forceinline__ void store(const State& w, float (*records)[kRecord], int lane) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int head = 2 * (lane % 4) + h;
    const float sum = all_of(w.sum[h]);
    if (head < GROUP) {
#pragma unroll
      for (int d = 0; d < kSteps; ++d) {
        records[head][d * 16 + lane / 4] = w.acc[d][h];
        records[head][d * 16 + lane / 4 + 8] = w.acc[d][h + 2];
      }
      if (lane / 4 == 0) {
        records[head][HEAD_DIM] = w.top[h];
        records[head][HEAD_DIM + 1] = sum;
      }
    }
  }
}

#if SPLITS > 1
// Into another block's inbox. Under ASYNC its barrier hears of the bytes, and nobody waits for an answer.
static __device__ __forceinline__ void send_word(coppice_u32 to, float value, [[maybe_unused]] coppice_u32 got) {
#if ASYNC
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.f32 [%0], %1, [%2];" ::"r"(to), "f"(value),
               "r"(got)
               : "memory");
#else
  coppice_store_cluster(to, value);
#endif
}
#endif

extern "C" __global__ void __launch_bounds__(kThreads)
    decode(const coppice_bf16* q, const __grid_constant__ coppice_tensor_map keys,
           const __grid_constant__ coppice_tensor_map values, const int* indptr, const int* indices,
           const int* last_page_len, coppice_bf16* out, float* lse, float sm_scale) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int split = blockIdx.x, kv_head = blockIdx.y, batch = blockIdx.z;
  const coppice_u32 base = (coppice_shared(shared) + 1023) / 1024 * 1024;
  unsigned char* const aligned = shared + (base - coppice_shared(shared));
  const coppice_u32 full = base + kFull;
  [[maybe_unused]] const coppice_u32 empty = base + kEmpty;
#if SPLITS > 1
  if (ASYNC && threadIdx.x == 0) {
    coppice_barrier_init(base + kGot, 1);
    coppice_barrier_fence();
    coppice_barrier_expect(base + kGot, kMail);
  }
  __syncwarp();
  coppice_cluster_arrive();  // the others' shared memory is there when all have come here
#endif
  // The page numbers of this share when all sequences are equally long and fill the table: on their way
  // together with the real bounds.
  constexpr long long kRefs = PAGE_REFS;
#if OWN
  const int of_lane = warp + lane * WARPS;  // the tile of this share whose page the lane looks up
#else
  const int of_lane = lane;
#endif
  const long long guess = min(kRefs * (batch * SPLITS + split) / (BATCH * SPLITS) + of_lane / kTilesPerPage,
                              kRefs - 1);
  const int guessed = OWN || warp == WARPS ? indices[guess] : 0;
  const int first_page = indptr[batch], pages = indptr[batch + 1] - first_page;
  const int last = last_page_len[batch];
#if OWN
  if (lane == 0) {  // its own barriers, which nobody else waits for
    coppice_prefetch_map(keys);
    coppice_prefetch_map(values);
    for (int i = 0; i < DEPTH; ++i) {
      coppice_barrier_init(full + 8 * (warp * DEPTH + i), 1);
    }
    coppice_barrier_fence();
  }
#else
  if (threadIdx.x == WARPS * 32) {
    coppice_prefetch_map(keys);
    coppice_prefetch_map(values);
    for (int i = 0; i < kStages; ++i) {
      coppice_barrier_init(full + 8 * i, 1);
      coppice_barrier_init(empty + 8 * i, 1);
    }
    coppice_barrier_fence();
  }
#endif
  const int group_head = (batch * KV_HEADS + kv_head) * GROUP;
  coppice_u32 query[kSteps][2];
  if (warp < WARPS) {
    const auto* row = reinterpret_cast<const coppice_u32*>(
        q + static_cast<long long>(group_head + lane / 4) * HEAD_DIM);
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      query[k][0] = lane / 4 < GROUP ? row[k * 8 + lane % 4] : 0u;
      query[k][1] = lane / 4 < GROUP ? row[k * 8 + lane % 4 + 4] : 0u;
    }
  }
  const int length = pages == 0 ? 0 : (pages - 1) * PAGE_SIZE + last;
  const int tiles = (length + kTile - 1) / kTile;
  const int per_split = (tiles + SPLITS - 1) / SPLITS;
  const int first_tile = split * per_split;
  const int count = max(min(tiles - first_tile, per_split), 0);
  State w;
  reset(w);
  const coppice_u64 policy = coppice_evict_first();
  const auto page_at = [&](int t) {  // of the t-th tile of this share
    return t < count ? indices[first_page + (first_tile + t) / kTilesPerPage] : 0;
  };
  const long long mine = static_cast<long long>(first_page) + (first_tile + of_lane) / kTilesPerPage;
  int page = (OWN || warp == WARPS) && of_lane < count ? (mine == guess ? guessed : indices[mine]) : 0;
  const auto send = [&](int t, int stage, int number) {
    const int row = number * PAGE_SIZE + (first_tile + t) % kTilesPerPage * kTile;
    const int slab = kv_head * (HEAD_DIM / 64);
    const coppice_u32 to = base + stage * kStage;
    coppice_barrier_expect(full + 8 * stage, kStage);
    coppice_copy_solid(to, keys, 0, row, slab, full + 8 * stage, policy);
    coppice_copy_solid(to + kHalf, values, 0, row, slab, full + 8 * stage, policy);
  };
#if OWN
  const int own = count > warp ? (count - warp + WARPS - 1) / WARPS : 0;  // tiles of this warp
  const int ring = warp * DEPTH;
  __syncwarp();  // the barriers are there
#pragma unroll 1
  for (int i = 0; i < DEPTH && i < own; ++i) {
    const int number = __shfl_sync(~0u, page, i);
    if (lane == 0) {
      send(warp + i * WARPS, ring + i, number);
    }
  }
  int later = page_at(warp + (32 + lane) * WARPS);
  int stage = 0, phase = 0;
#pragma unroll 1
  for (int i = 0; i < own; ++i) {
    coppice_barrier_wait(full + 8 * (ring + stage), phase);
    const coppice_u32 tile = base + (ring + stage) * kStage;
    attend<Layout>(w, tile, tile + kHalf, length - (first_tile + warp + i * WARPS) * kTile, sm_scale * kLog2e, query,
                   lane);
    const int next = i + DEPTH;
    if (next % 32 == 0) {
      page = later;
      later = page_at(warp + (next + 32 + lane) * WARPS);
    }
    const int number = __shfl_sync(~0u, page, next % 32);  // and all lanes have read the stage
    if (lane == 0 && next < own) {
      send(warp + next * WARPS, ring + stage, number);
    }
    if (++stage == DEPTH) {
      stage = 0;
      phase ^= 1;
    }
  }
#else
  __syncthreads();  // the barriers are there
  if (warp == WARPS) {
    constexpr int kAtOnce = kStages < 32 ? kStages : 32;
    if (lane < min(count, kAtOnce)) {
      send(lane, lane, page);
    }
    int next = page_at(32 + lane);
    for (int t = kAtOnce; t < count; ++t) {
      if (t % 32 == 0) {
        page = next;
        next = page_at(t + 32 + lane);
      }
      if (lane == t % 32) {
        if (t >= kStages) {
          coppice_barrier_wait(empty + 8 * (t % kStages), (t / kStages - 1) & 1);
        }
        send(t, t % kStages, page);
      }
      __syncwarp();
    }
  }
  if (warp < WARPS) {
    for (int t = warp; t < count; t += WARPS) {
      const int stage = t % kStages;
      coppice_barrier_wait(full + 8 * stage, t / kStages & 1);
      const coppice_u32 tile = base + stage * kStage;
      attend<Layout>(w, tile, tile + kHalf, length - (first_tile + t) * kTile, sm_scale * kLog2e, query, lane);
      __syncwarp();
      if (lane == 0) {
        coppice_barrier_arrive(empty + 8 * stage);
      }
    }
  }
#endif
  __syncthreads();  // the ring is read: its place is free for the warps' records
  auto* const records = reinterpret_cast<float(*)[GROUP][kRecord]>(aligned);
  if (warp < WARPS) {
    store(w, records[warp], lane);
  }
#if SPLITS > 1
  coppice_cluster_wait();
#endif
  __syncthreads();
  for (int i = threadIdx.x; i < kResults; i += kThreads) {
    const int d = i % HEAD_DIM, g = i / HEAD_DIM;
    float top = -COPPICE_INFINITY;
#pragma unroll
    for (int s = 0; s < WARPS; ++s) {
      top = fmaxf(top, records[s][g][HEAD_DIM]);
    }
    float sum = 0.0f, value = 0.0f;
#pragma unroll
    for (int s = 0; s < WARPS; ++s) {
      const float weight = weight_of(records[s][g][HEAD_DIM], top);
      sum += weight * records[s][g][HEAD_DIM + 1];
      value += weight * records[s][g][d];
    }
#if SPLITS == 1
    finish(out, lse, group_head + g, d, value, top, sum);
#else
    const int owner = i / kOwned, own = i % kOwned;
    const coppice_u32 got = coppice_map_shared(base + kGot, owner);
    send_word(coppice_map_shared(base + kInbox + (split * kOwned + own) * 4, owner), value, got);
    if (own % kRun == 0) {
      const coppice_u32 to = coppice_map_shared(
          base + kInboxWeights + (split * (kOwned / kRun) + own / kRun) * 8, owner);
      send_word(to, top, got);
      send_word(to + 4, sum, got);
    }
#endif
  }
#if SPLITS > 1
#if ASYNC
  coppice_barrier_wait_cluster(base + kGot, 0);
#else
  coppice_cluster_sync();
#endif
  const auto* const inbox = reinterpret_cast<const float*>(aligned + kInbox);
  const auto* const weights = reinterpret_cast<const float2*>(aligned + kInboxWeights);
  for (int own = threadIdx.x; own < kOwned; own += kThreads) {
    float top = -COPPICE_INFINITY;
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      top = fmaxf(top, weights[s * (kOwned / kRun) + own / kRun].x);
    }
    float sum = 0.0f, value = 0.0f;
#pragma unroll
    for (int s = 0; s < SPLITS; ++s) {
      const float2 theirs = weights[s * (kOwned / kRun) + own / kRun];
      const float weight = weight_of(theirs.x, top);
      sum += weight * theirs.y;
      value += weight * inbox[s * kOwned + own];
    }
    const int i = split * kOwned + own;
    finish(out, lse, group_head + i / HEAD_DIM, i % HEAD_DIM, value, top, sum);
  }
#endif
}
