// Trusted device reference: one block a (sequence, head), f64 sums, outputs as unrounded f32.
// Two passes over the keys: the logits go to the workspace, so nothing is approximated online.
#include "coppice_cuda.cuh"

#ifdef T_BF16
using Element = coppice_bf16;
#else
using Element = float;
#endif

static __device__ double block_reduce(double x, bool largest, double* shared) {
  shared[threadIdx.x] = x;
  __syncthreads();
  for (int n = blockDim.x / 2; n > 0; n >>= 1) {
    if (threadIdx.x < n) {
      const double a = shared[threadIdx.x], b = shared[threadIdx.x + n];
      shared[threadIdx.x] = largest ? fmax(a, b) : a + b;
    }
    __syncthreads();
  }
  const double out = shared[0];
  __syncthreads();
  return out;
}

extern "C" __global__ void reference(const Element* q, const Element* k, const Element* v,
                                     const int* indptr, const int* indices, const int* last,
                                     float* out, float* lse, double* logits, long long heads,
                                     long long kv_heads, long long head_dim, long long page_size,
                                     long long longest, float sm_scale) {
  __shared__ double shared[256];
  const long long b = blockIdx.y, h = blockIdx.x, row = b * heads + h, kv = h / (heads / kv_heads);
  const int pages = indptr[b + 1] - indptr[b];
  const long long length = pages == 0 ? 0 : (pages - 1) * page_size + last[b];
  double* mine = logits + row * longest;
  double largest = -COPPICE_INFINITY;
  for (long long t = threadIdx.x; t < length; t += blockDim.x) {
    const long long slot = indices[indptr[b] + t / page_size] * page_size + t % page_size;
    const Element* key = k + (slot * kv_heads + kv) * head_dim;
    double dot = 0;
    for (long long d = 0; d < head_dim; ++d) {
      dot += static_cast<double>(coppice_widen(q[row * head_dim + d])) * coppice_widen(key[d]);
    }
    mine[t] = dot * sm_scale;
    largest = fmax(largest, mine[t]);
  }
  largest = block_reduce(largest, true, shared);
  double sum = 0;
  for (long long t = threadIdx.x; t < length; t += blockDim.x) {
    mine[t] = exp(mine[t] - largest);
    sum += mine[t];
  }
  sum = block_reduce(sum, false, shared);
  __syncthreads();
  // Elements over part of the threads, tokens over the rest.
  const int parts = blockDim.x / head_dim > 0 ? blockDim.x / head_dim : 1;
  for (long long base = 0; base < head_dim; base += blockDim.x) {
    const long long d = base + threadIdx.x % (head_dim < blockDim.x ? head_dim : blockDim.x);
    const int part = head_dim < blockDim.x ? threadIdx.x / head_dim : 0;
    double value = 0;
    if (d < head_dim && part < parts) {
      for (long long t = part; t < length; t += parts) {
        const long long slot = indices[indptr[b] + t / page_size] * page_size + t % page_size;
        value += mine[t] * coppice_widen(v[(slot * kv_heads + kv) * head_dim + d]);
      }
    }
    shared[threadIdx.x] = value;
    __syncthreads();
    if (part == 0 && d < head_dim) {
      for (int i = 1; i < parts; ++i) {
        value += shared[threadIdx.x + i * head_dim];
      }
      out[row * head_dim + d] = length == 0 ? 0.0f : static_cast<float>(value / sum);
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    lse[row] = length == 0 ? -COPPICE_INFINITY
                           : static_cast<float>((largest + log(sum)) * 1.4426950408889634);
  }
}
