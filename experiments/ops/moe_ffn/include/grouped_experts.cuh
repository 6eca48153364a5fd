// What the grouped products of many tokens share (templates grouped_wgmma and grouped_panels): the sort of
// (token, choice) slots by expert, the boxes of weights, and what consuming warpgroups do with the ring.
#pragma once

#include "coppice_wgmma.cuh"

constexpr int kThreads = 384;
constexpr int kAlign = 1024;  // of tiles in the 128-byte swizzle
constexpr int kMostExperts = 1024, kMostSlots = 32768;

// ---- the sort: one block ----

// How many rows, column tiles of up and column tiles of down are before each expert: a warp each.
template <int kUnit>
static __device__ __forceinline__ void list_experts(const int* count, int* first, int* table, int experts) {
  if (threadIdx.x < 96) {
    const int which = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int width = which == 0 ? kUnit : SHARE * (which == 1 ? MOST_UP : MOST_DOWN);
    int* list = table + which * (experts + 1);
    int before = 0;
    for (int base = 0; base < experts; base += 32) {
      const int e = base + lane;
      const int mine = e < experts ? (count[e] + width - 1) / width * (which == 0 ? kUnit : 1) : 0;
      int sum = mine;
#pragma unroll
      for (int d = 1; d < 32; d *= 2) {
        const int other = __shfl_up_sync(~0u, sum, d);
        sum += lane >= d ? other : 0;
      }
      if (e < experts) {
        list[e] = before + sum - mine;
      }
      if (which == 0 && e < experts) {
        first[e] = before + sum - mine;
      }
      before += __shfl_sync(~0u, sum, 31);
    }
    if (lane == 0) {
      list[experts] = before;
    }
    if (threadIdx.x == 0) {
      first[experts] = before;
    }
  }
}

// place[slot]: its row; sorted[row]: the slot of a row. An expert's first row is a multiple of kUnit; where that
// is more than one, the rows that only fill up have no slot (-1), and a fourth list has the experts' slots.
template <int kUnit>
static __device__ __forceinline__ void sort_slots(const int* ids, int* sorted, int* place, int* table, long long slots,
                                                  long long all_experts) {
  extern __shared__ __align__(1024) unsigned char shared[];
  __shared__ int count[kMostExperts], first[kMostExperts + 1];
#if PDL
  coppice_launch_dependents();
#endif
  int* const order = reinterpret_cast<int*>(shared);
  const int experts = static_cast<int>(all_experts), all = static_cast<int>(slots);
  for (int e = threadIdx.x; e < experts; e += 1024) {
    count[e] = 0;
  }
  coppice_u32 found[kMostSlots / 1024];  // of this thread's slots: the expert, and how many came before
#pragma unroll
  for (int i = 0; i < kMostSlots / 1024; ++i) {
    if (i * 1024 >= all) {
      break;
    }
    const int slot = i * 1024 + threadIdx.x;
    found[i] = slot < all ? ids[slot] : 0;
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kMostSlots / 1024; ++i) {
    if (i * 1024 >= all) {
      break;
    }
    if (i * 1024 + threadIdx.x < all) {
      found[i] = found[i] << 16 | static_cast<coppice_u32>(atomicAdd(&count[found[i]], 1));
    }
  }
  __syncthreads();
  list_experts<kUnit>(count, first, table, experts);
  __syncthreads();
  if constexpr (kUnit > 1) {
    for (int e = threadIdx.x; e < experts; e += 1024) {
      table[3 * (experts + 1) + e] = count[e];
      for (int i = first[e] + count[e]; i < first[e + 1]; ++i) {
        order[i] = -1;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kMostSlots / 1024; ++i) {
    if (i * 1024 >= all) {
      break;
    }
    const int slot = i * 1024 + threadIdx.x;
    if (slot < all) {
      const int row = first[found[i] >> 16] + static_cast<int>(found[i] & 0xffff);
      order[row] = slot;
      place[slot] = row;
    }
  }
  __syncthreads();  // in shared memory first: neighbours go out together
  for (int row = threadIdx.x; row < first[experts]; row += 1024) {
    sorted[row] = order[row];
  }
}

// ---- the grouped products ----

struct Ring {
  coppice_u32 stages, full, empty;
};

// Where box i of a tile's weights of one step begins: 128 bytes of each row. The rows of a warp's sixteen are
// in an order that gives each thread four neighbours of the result: of the second product, rows
// 4 q + 2 h + e as h, q, e; of the first, gate and up of eight indices, and of two such slabs (boxes by
// warpgroup and slab) the indices 4 q + 2 slab + e.
template <class P, class Work, class Sizes>
static __device__ __forceinline__ void fetch_box(coppice_u32 to, const coppice_tensor_map& weights, coppice_u32 full,
                                                 const Work& w, int depth, int i, const Sizes& s, coppice_u64 policy) {
  int at[5] = {depth, 0, 0, 0, 0};
  if constexpr (P::kUp == 0) {
    at[4] = w.expert * (s.hidden / 16) + w.row_block * (P::kTileRows / 16) + i * (P::kTileRows / 16 / P::kBoxes);
  } else if constexpr (P::kRowTiles == 1) {
    at[4] = w.expert * (s.inter / 4) + w.row_block * 8 + i * (8 / P::kBoxes);
  } else {
    at[1] = i % 2 * 2;
    at[4] = w.expert * (s.inter / 8) + w.row_block * 8 + i / 2 * 4;
  }
#if SHARE > 1
  coppice_tensor_copy5_multicast(to + i * P::kBoxBytes, weights, full, at, (1 << SHARE) - 1, policy);
#else
  coppice_tensor_copy5(to + i * P::kBoxBytes, weights, full, at, policy);
#endif
}

static __device__ __forceinline__ float gated(float gate, float up) {
  return __fdividef(gate, 1.0f + coppice_exp2(-1.4426950408889634f * gate)) * up;
}

// A consuming warp says that it has read a stage, to all who write there.
static __device__ __forceinline__ void release(coppice_u32 empty, int lane) {
#if SHARE > 1
  if (lane < SHARE) {
    coppice_barrier_release_remote(coppice_map_shared(empty, lane));
  }
#else
  if (lane == 0) {
    coppice_barrier_arrive(empty);
  }
#endif
}

// A consuming warpgroup's place in the ring.
struct Reader {
  int stage = 0, phase = 0;
};

// Nobody goes whom the other block still writes to.
static __device__ __forceinline__ void leave() {
#if SHARE > 1
  __syncwarp();
  coppice_cluster_sync();
#endif
}
