// Mixture of experts for few tokens: the weights stream once through tensor cores as the 16-row
// operand, the tokens of an expert are the 8 columns. Blocks own rows of one expert; warps share the
// inner dimension; operands come straight from global memory (an inner product may visit its
// dimension in any order, so a thread's 16 bytes serve as the elements that the instruction wants).
#include "coppice_cuda.cuh"

constexpr int kColumns = 8 * TOKEN_TILES;  // tokens of one pass
constexpr int kSlots = TOKENS * TOP_K;

struct Members {
  int count;
  int slot[kSlots];  // token * TOP_K + choice, in order
};

// The (token, choice) pairs that go to this expert. All threads take part.
static __device__ __forceinline__ void find_members(Members& members, const int* ids, int expert) {
  if (threadIdx.x < 32) {
    int count = 0;
    for (int base = 0; base < kSlots; base += 32) {
      const int slot = base + threadIdx.x;
      const bool mine = slot < kSlots && ids[slot] == expert;
      const unsigned mask = __ballot_sync(~0u, mine);
      if (mine) {
        members.slot[count + __popc(mask & ((1u << threadIdx.x) - 1))] = slot;
      }
      count += __popc(mask);
    }
    if (threadIdx.x == 0) {
      members.count = count;
    }
  }
  __syncthreads();
}

static __device__ __forceinline__ coppice_u32 word(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// acc[r][n] += rows r (16 each, `row_bytes` apart) times the columns, over this warp's chunks of 32.
template <int kRows, int kInner>
static __device__ __forceinline__ void multiply(float (&acc)[kRows][TOKEN_TILES][4],
                                                const char* const (&rows)[kRows],
                                                const char* const (&columns)[TOKEN_TILES],
                                                const bool (&used)[TOKEN_TILES], int warp, int lane) {
  constexpr int kChunks = kInner / 32;
  constexpr long long kRowBytes = kInner * 2;
  const long long low = (lane / 4) * kRowBytes + lane % 4 * 16, high = low + 8 * kRowBytes;
  for (int base = warp; base < kChunks; base += WARPS * UNROLL) {
    uint4 a[UNROLL][kRows][2];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) {
      // Beyond the end the last chunk is read again and meets zeros: no branch parts the loads.
      const int chunk = min(base + u * WARPS, kChunks - 1);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        a[u][r][0] = coppice_load_once(rows[r] + low + chunk * 64);
        a[u][r][1] = coppice_load_once(rows[r] + high + chunk * 64);
      }
    }
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) {
      const int chunk = min(base + u * WARPS, kChunks - 1);
#pragma unroll
      for (int n = 0; n < TOKEN_TILES; ++n) {
        uint4 b = *reinterpret_cast<const uint4*>(columns[n] + chunk * 64 + lane % 4 * 16);
        if (!used[n] || base + u * WARPS >= kChunks) {
          b = make_uint4(0, 0, 0, 0);
        }
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int k = 0; k < 2; ++k) {
            const coppice_u32 fragment[4] = {word(a[u][r][0], 2 * k), word(a[u][r][1], 2 * k),
                                             word(a[u][r][0], 2 * k + 1), word(a[u][r][1], 2 * k + 1)};
            coppice_mma(acc[r][n], fragment, word(b, 2 * k), word(b, 2 * k + 1));
          }
        }
      }
    }
  }
}

template <int kRows>
static __device__ __forceinline__ void clear(float (&acc)[kRows][TOKEN_TILES][4]) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int n = 0; n < TOKEN_TILES; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        acc[r][n][i] = 0.0f;
      }
    }
  }
}

// Sums over warps: shared[warp][r][row 16][column], pitch one more than the columns.
template <int kRows>
static __device__ __forceinline__ void spill(const float (&acc)[kRows][TOKEN_TILES][4], float* shared,
                                             int warp, int lane) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int n = 0; n < TOKEN_TILES; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + (i / 2) * 8, column = n * 8 + 2 * (lane % 4) + i % 2;
        shared[((warp * kRows + r) * 16 + row) * (kColumns + 1) + column] = acc[r][n][i];
      }
    }
  }
}
template <int kRows>
static __device__ __forceinline__ float total(const float* shared, int r, int row, int column) {
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < WARPS; ++w) {
    sum += shared[((w * kRows + r) * 16 + row) * (kColumns + 1) + column];
  }
  return sum;
}

extern "C" __global__ void __launch_bounds__(WARPS * 32)
    gate_up(const char* x, const char* weights, const int* ids, coppice_bf16* inner) {
  __shared__ Members members;
  __shared__ float sums[WARPS * 2 * 16 * (kColumns + 1)];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, expert = blockIdx.y;
  const int first_row = blockIdx.x * 16;
  find_members(members, ids, expert);
  const char* base = weights + static_cast<long long>(expert) * 2 * INTER * HIDDEN * 2;
  const char* const rows[2] = {base + static_cast<long long>(first_row) * HIDDEN * 2,
                               base + static_cast<long long>(INTER + first_row) * HIDDEN * 2};
  for (int pass = 0; pass < members.count; pass += kColumns) {
    const char* columns[TOKEN_TILES];
    bool used[TOKEN_TILES];
#pragma unroll
    for (int n = 0; n < TOKEN_TILES; ++n) {
      const int member = pass + n * 8 + lane / 4;
      used[n] = member < members.count;
      columns[n] = x + static_cast<long long>(members.slot[used[n] ? member : 0] / TOP_K) * HIDDEN * 2;
    }
    float acc[2][TOKEN_TILES][4];
    clear(acc);
    multiply<2, HIDDEN>(acc, rows, columns, used, warp, lane);
    spill(acc, sums, warp, lane);
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * kColumns; i += WARPS * 32) {
      const int row = i % 16, column = i / 16;
      if (pass + column < members.count) {
        const float gate = total<2>(sums, 0, row, column), up = total<2>(sums, 1, row, column);
        const float value = gate / (1.0f + coppice_exp2(-1.4426950408889634f * gate)) * up;
        inner[static_cast<long long>(members.slot[pass + column]) * INTER + first_row + row] =
            coppice_to_bf16(value);
      }
    }
    __syncthreads();
  }
#if PDL
  coppice_launch_dependents();
#endif
}

extern "C" __global__ void __launch_bounds__(WARPS * 32)
    down(const char* inner, const char* weights, const int* ids, float* parts) {
  __shared__ Members members;
  __shared__ float sums[WARPS * 2 * 16 * (kColumns + 1)];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, expert = blockIdx.y;
  const int first_row = blockIdx.x * 32;
  find_members(members, ids, expert);
#if PDL
  coppice_wait_for_previous();
#endif
  const char* base = weights + (static_cast<long long>(expert) * HIDDEN + first_row) * INTER * 2;
  const char* const rows[2] = {base, base + 16ll * INTER * 2};
  for (int pass = 0; pass < members.count; pass += kColumns) {
    const char* columns[TOKEN_TILES];
    bool used[TOKEN_TILES];
#pragma unroll
    for (int n = 0; n < TOKEN_TILES; ++n) {
      const int member = pass + n * 8 + lane / 4;
      used[n] = member < members.count;
      columns[n] = inner + static_cast<long long>(members.slot[used[n] ? member : 0]) * INTER * 2;
    }
    float acc[2][TOKEN_TILES][4];
    clear(acc);
    multiply<2, INTER>(acc, rows, columns, used, warp, lane);
    spill(acc, sums, warp, lane);
    __syncthreads();
    for (int i = threadIdx.x; i < 32 * kColumns; i += WARPS * 32) {
      const int row = i % 32, column = i / 32;
      if (pass + column < members.count) {
        parts[static_cast<long long>(members.slot[pass + column]) * HIDDEN + first_row + row] =
            total<2>(sums, row / 16, row % 16, column);
      }
    }
    __syncthreads();
  }
#if PDL
  coppice_launch_dependents();
#endif
}

extern "C" __global__ void merge(const float* parts, const float* routing, coppice_bf16* out) {
#if PDL
  coppice_wait_for_previous();
#endif
  const long long token = blockIdx.y, d = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  float sum = 0.0f;
#pragma unroll
  for (int j = 0; j < TOP_K; ++j) {
    sum += routing[token * TOP_K + j] * parts[(token * TOP_K + j) * HIDDEN + d];
  }
  out[token * HIDDEN + d] = coppice_to_bf16(sum);
}
