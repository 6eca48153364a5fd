// Trusted device reference: one block for 32 queries of a sequence and a head, f64 throughout, outputs
// as unrounded f32. Two passes over the keys: the largest logit and the sum first, then the weighted
// values, so nothing is scaled twice.
#include "coppice_cuda.cuh"

#ifdef T_BF16
using Element = coppice_bf16;
#else
using Element = float;
#endif

constexpr int kQueries = 32, kKeys = 32;
constexpr int kOwn = kQueries / 8;        // queries of a warp
constexpr int kMostColumns = 256 / 32;    // of a lane

struct Shape {
  int heads, kv_heads, width, page;
};

struct Block {
  const int* table;
  int first, count, length, rows;  // first query of all; count of this block; keys; queries of the sequence
  int at;                          // the first query's number inside its sequence
};

// Tokens t and on of one head of a cache, widened, a row each; zeros behind the end.
static __device__ void load_rows(double* to, const Element* cache, const Block& b, const Shape& s, int head, int t) {
  for (int i = threadIdx.x; i < kKeys * s.width; i += blockDim.x) {
    const int row = i / s.width, d = i % s.width, token = t + row;
    double x = 0;
    if (token < b.length) {
      const long long slot = static_cast<long long>(b.table[token / s.page]) * s.page + token % s.page;
      x = coppice_widen(cache[(slot * s.kv_heads + head) * s.width + d]);
    }
    to[row * (s.width + 1) + d] = x;
  }
}

// The logits of this lane's key with the warp's queries.
static __device__ void dots(double (&dot)[kOwn], const double* queries, const double* keys, int width) {
  const double* mine = queries + threadIdx.x / 32 * kOwn * width;
  const double* key = keys + threadIdx.x % 32 * (width + 1);
  for (int i = 0; i < kOwn; ++i) {
    dot[i] = 0;
  }
  for (int d = 0; d < width; d += 2) {
    const double low = key[d], high = key[d + 1];
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const double2 x = *reinterpret_cast<const double2*>(mine + i * width + d);
      dot[i] += x.x * low + x.y * high;
    }
  }
}

static __device__ double over_warp(double x, bool largest) {
  for (int d = 16; d > 0; d /= 2) {
    const double other = __shfl_xor_sync(~0u, x, d);
    x = largest ? fmax(x, other) : x + other;
  }
  return x;
}

static __device__ void find_block(Block& b, const int* starts, const int* first_pages, const int* indices,
                                  const int* last, int batch, int page, int number) {
  int seq = 0, before = 0;
  b.count = 0;
  for (; seq < batch; ++seq) {
    const int blocks = (starts[seq + 1] - starts[seq] + kQueries - 1) / kQueries;
    if (number < before + blocks) {
      break;
    }
    before += blocks;
  }
  if (seq == batch) {
    return;
  }
  b.rows = starts[seq + 1] - starts[seq];
  b.at = (number - before) * kQueries;
  b.first = starts[seq] + b.at;
  b.count = min(kQueries, b.rows - b.at);
  const int pages = first_pages[seq + 1] - first_pages[seq];
  b.length = pages == 0 ? 0 : (pages - 1) * page + last[seq];
  b.table = indices + first_pages[seq];
}

extern "C" __global__ void __launch_bounds__(256)
    reference(const Element* q, const Element* k, const Element* v, const int* starts, const int* first_pages,
              const int* indices, const int* last, float* out, float* lse, long long batch, long long heads,
              long long kv_heads, long long head_dim, long long page_size, float sm_scale) {
  extern __shared__ double2 shared[];
  const Shape s = {static_cast<int>(heads), static_cast<int>(kv_heads), static_cast<int>(head_dim),
                   static_cast<int>(page_size)};
  Block b;
  find_block(b, starts, first_pages, indices, last, static_cast<int>(batch), s.page, blockIdx.y);
  if (b.count == 0) {
    return;
  }
  const int head = blockIdx.x, kv = head / (s.heads / s.kv_heads), lane = threadIdx.x % 32;
  double* queries = reinterpret_cast<double*>(shared);
  double* rows = queries + kQueries * s.width;
  double* weights = rows + kKeys * (s.width + 1) + threadIdx.x / 32 * kOwn * kKeys;
  for (int i = threadIdx.x; i < kQueries * s.width; i += blockDim.x) {
    const int row = min(i / s.width, b.count - 1);
    queries[i] = coppice_widen(q[(static_cast<long long>(b.first + row) * s.heads + head) * s.width + i % s.width]);
  }
  const int own = threadIdx.x / 32 * kOwn;  // this warp's first query
  const auto seen = [&](int i) { return max(0, b.at + own + i + 1 + b.length - b.rows); };
  const int end = min(b.length, max(0, b.at + b.count + b.length - b.rows));
  double top[kOwn], sum[kOwn], dot[kOwn], acc[kOwn][kMostColumns] = {};
  for (int i = 0; i < kOwn; ++i) {
    top[i] = -COPPICE_INFINITY;
    sum[i] = 0;
  }
  for (int t = 0; t < end; t += kKeys) {
    __syncthreads();
    load_rows(rows, k, b, s, kv, t);
    __syncthreads();
    dots(dot, queries, rows, s.width);
    for (int i = 0; i < kOwn; ++i) {
      if (t + lane < seen(i)) {
        const double x = dot[i] * sm_scale, now = fmax(top[i], x);
        sum[i] = sum[i] * exp(top[i] - now) + exp(x - now);
        top[i] = now;
      }
    }
  }
  for (int i = 0; i < kOwn; ++i) {
    const double all = over_warp(top[i], true);
    sum[i] = over_warp(top[i] == -COPPICE_INFINITY ? 0.0 : sum[i] * exp(top[i] - all), false);
    top[i] = all;
  }
  for (int t = 0; t < end; t += kKeys) {
    __syncthreads();
    load_rows(rows, k, b, s, kv, t);
    __syncthreads();
    dots(dot, queries, rows, s.width);
    for (int i = 0; i < kOwn; ++i) {
      weights[i * kKeys + lane] = t + lane < seen(i) ? exp(dot[i] * sm_scale - top[i]) : 0.0;
    }
    __syncthreads();
    load_rows(rows, v, b, s, kv, t);
    __syncthreads();
    for (int j = 0; j < kKeys; ++j) {
#pragma unroll
      for (int c = 0; c < kMostColumns; ++c) {
        if (c * 32 < s.width) {
          const double x = rows[j * (s.width + 1) + c * 32 + lane];
#pragma unroll
          for (int i = 0; i < kOwn; ++i) {
            acc[i][c] += weights[i * kKeys + j] * x;
          }
        }
      }
    }
  }
  for (int i = 0; i < kOwn && own + i < b.count; ++i) {
    const long long row = static_cast<long long>(b.first + own + i) * s.heads + head;
    for (int c = 0; c < kMostColumns; ++c) {
      if (c * 32 < s.width) {
        out[row * s.width + c * 32 + lane] = sum[i] > 0 ? static_cast<float>(acc[i][c] / sum[i]) : 0.0f;
      }
    }
    if (lane == 0) {
      lse[row] = sum[i] > 0 ? static_cast<float>((top[i] + log(sum[i])) * 1.4426950408889634) : -COPPICE_INFINITY;
    }
  }
}
