// One launch for the sum and the norm: a row stays in the registers of its threads from the first
// load to the store. A row may be spread over the blocks of a cluster (few rows: more multiprocessors
// take part), a block may hold several rows, and may walk over rows, reading the next one ahead.
#include "coppice_hopper.cuh"

constexpr int kChunks = HIDDEN / VECTOR;  // a chunk is what a thread loads at once
constexpr int kStride = SPLIT * ROW_THREADS;
constexpr int kPer = (kChunks + kStride - 1) / kStride;
constexpr int kWords = VECTOR / 2;
constexpr int kRowWarps = ROW_THREADS / 32;
constexpr int kPartials = SPLIT * kRowWarps;
#if VECTOR == 8
using Chunk = uint4;
#else
using Chunk = uint2;
#endif

struct Place {
  int row;    // of this block
  int first;  // the thread's first chunk in the row
  __device__ bool has(int i) const { return kChunks % kStride == 0 || first + i * kStride < kChunks; }
};

static __device__ __forceinline__ void fetch(Chunk& v, const char* from, [[maybe_unused]] coppice_u64 policy) {
#if defined(LOAD_EVICT_FIRST)
  coppice_read_policy(v, from, policy);
#elif defined(LOAD_ONCE)
  coppice_read_once(v, from);
#else
  coppice_read(v, from);
#endif
}
static __device__ __forceinline__ coppice_u32 word(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}
static __device__ __forceinline__ coppice_u32 word(const uint2& v, int i) {
  return i == 0 ? v.x : v.y;
}
static __device__ __forceinline__ void clear(uint4& v) {
  v = make_uint4(0, 0, 0, 0);
}
static __device__ __forceinline__ void clear(uint2& v) {
  v = make_uint2(0, 0);
}

// The thread's chunks of both inputs of a row; zeros where there is none.
static __device__ __forceinline__ void load_row(Chunk (&x)[kPer], Chunk (&r)[kPer], const char* input,
                                                const char* residual, bool live, const Place& at,
                                                coppice_u64 policy) {
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    clear(x[i]);
    clear(r[i]);
    if (live && at.has(i)) {
      fetch(x[i], input + i * (kStride * VECTOR * 2), policy);
      fetch(r[i], residual + i * (kStride * VECTOR * 2), policy);
    }
  }
}

static __device__ __forceinline__ void load_weight(Chunk (&w)[kPer], const char* weight, const Place& at) {
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    clear(w[i]);
    if (at.has(i)) {
      coppice_read(w[i], weight + (at.first + i * kStride) * (VECTOR * 2));
    }
  }
}

static __device__ __forceinline__ float add(float (&sum)[kPer][VECTOR], const Chunk (&x)[kPer],
                                            const Chunk (&r)[kPer]) {
  float even = 0.0f, odd = 0.0f;
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
#pragma unroll
    for (int e = 0; e < kWords; ++e) {
      sum[i][2 * e] = coppice_low(word(x[i], e)) + coppice_low(word(r[i], e));
      sum[i][2 * e + 1] = coppice_high(word(x[i], e)) + coppice_high(word(r[i], e));
      even += sum[i][2 * e] * sum[i][2 * e];
      odd += sum[i][2 * e + 1] * sum[i][2 * e + 1];
    }
  }
  return even + odd;
}

static __device__ __forceinline__ float over_lanes(float x) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    x += __shfl_xor_sync(~0u, x, d);
  }
  return x;
}

// The sum over all threads of the row, in this and the cluster's other blocks. `partials` alternates
// between two places from row to row, so that one barrier a row is enough.
static __device__ __forceinline__ float over_row(float x, float* partials, [[maybe_unused]] int rank) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % kRowWarps;
  x = over_lanes(x);
  if constexpr (kPartials > 1) {
#if SPLIT > 1
    if (lane < SPLIT) {
      coppice_store_cluster(coppice_map_shared(coppice_shared(partials + rank * kRowWarps + warp), lane), x);
    }
    coppice_cluster_sync();
#else
    if (lane == 0) {
      partials[warp] = x;
    }
    __syncthreads();
#endif
    x = 0.0f;
    if constexpr (kPartials <= 8) {
#pragma unroll
      for (int i = 0; i < kPartials; ++i) {
        x += partials[i];
      }
    } else {
#pragma unroll
      for (int i = 0; i < kPartials; i += 32) {
        x += i + lane < kPartials ? partials[i + lane] : 0.0f;
      }
      x = over_lanes(x);
    }
  }
  return x;
}

static __device__ __forceinline__ void store_row(char* out, const float (&sum)[kPer][VECTOR],
                                                 const Chunk (&w)[kPer], float scale, const Place& at) {
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    coppice_u32 words[kWords];
#pragma unroll
    for (int e = 0; e < kWords; ++e) {
      words[e] = coppice_pack(sum[i][2 * e] * scale * coppice_low(word(w[i], e)),
                              sum[i][2 * e + 1] * scale * coppice_high(word(w[i], e)));
    }
#if VECTOR == 8
    const Chunk v = make_uint4(words[0], words[1], words[2], words[3]);
#else
    const Chunk v = make_uint2(words[0], words[1]);
#endif
    if (at.has(i)) {
#ifdef STORE_STREAM
      coppice_write_stream(out + i * (kStride * VECTOR * 2), v);
#else
      coppice_write(out + i * (kStride * VECTOR * 2), v);
#endif
    }
  }
}

extern "C" __global__ void __launch_bounds__(ROW_THREADS * BLOCK_ROWS, WALK ? PER_SM : 1)
    normalise(const char* x, const char* residual, const char* weight, char* out, long long rows,
              float eps) {
  __shared__ float partials[2][BLOCK_ROWS][kPartials];
  const int rank = blockIdx.x % SPLIT, block = blockIdx.x / SPLIT;
  const Place at{static_cast<int>(threadIdx.x / ROW_THREADS),
                 rank * ROW_THREADS + static_cast<int>(threadIdx.x % ROW_THREADS)};
  coppice_u64 policy = 0;
#ifdef LOAD_EVICT_FIRST
  policy = coppice_evict_first();
#endif
#if SPLIT > 1
  coppice_cluster_arrive();  // the others must have started before their memory is written
#endif
  const auto offset = [&](long long group) {
    return (group * BLOCK_ROWS + at.row) * (HIDDEN * 2ll) + at.first * (VECTOR * 2);
  };
  const auto live = [&](long long group) { return group * BLOCK_ROWS + at.row < rows; };
  Chunk now_x[kPer], now_r[kPer], w[kPer];
  load_row(now_x, now_r, x + offset(block), residual + offset(block), live(block), at, policy);
#if WEIGHT_EARLY || WALK
  load_weight(w, weight, at);
#endif
#if SPLIT > 1
  coppice_cluster_wait();
#endif
  int turn = 0;
#if WALK
  const int blocks = gridDim.x / SPLIT;
  const long long groups = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
  for (long long group = block; group < groups; group += blocks) {
#else
  {
    const long long group = block;
#endif
    float sum[kPer][VECTOR];
    const float squares = add(sum, now_x, now_r);
#if WALK
    const long long next = group + blocks;
    load_row(now_x, now_r, x + offset(next), residual + offset(next), live(next), at, policy);
#endif
    const float all = over_row(squares, partials[turn][at.row], rank);
    turn ^= 1;
#if !WEIGHT_EARLY && !WALK
    load_weight(w, weight, at);
#endif
    if (live(group)) {
      store_row(out + offset(group), sum, w, rsqrtf(all * (1.0f / HIDDEN) + eps), at);
    }
  }
}
