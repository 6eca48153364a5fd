// Trusted device reference: one block a (sequence, head), f64 sums, outputs as unrounded f32. The
// weights of all tokens go to the workspace first, so nothing is approximated online.
#include "coppice_cuda.cuh"

#ifdef T_BF16
using Element = coppice_bf16;
#else
using Element = float;
#endif

// Over the 256 threads of the block.
template <class Join>
static __device__ double over_block(double mine, Join join) {
  __shared__ double all[256];
  all[threadIdx.x] = mine;
  __syncthreads();
  for (int half = 128; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      all[threadIdx.x] = join(all[threadIdx.x], all[threadIdx.x + half]);
    }
    __syncthreads();
  }
  const double result = all[0];
  __syncthreads();
  return result;
}

struct Cache {
  const Element* rows;
  const int* table;
  long long width, page_size;
  __device__ const Element* row(long long token) const {
    return rows + (table[token / page_size] * page_size + token % page_size) * width;
  }
};

extern "C" __global__ void reference(const Element* nope, const Element* rope, const Element* rows,
                                     const int* indptr, const int* indices, const int* last, float* out,
                                     float* lse, double* weights, long long heads, long long latent,
                                     long long rotary, long long page_size, long long longest,
                                     float sm_scale) {
  const long long b = blockIdx.y, head = b * heads + blockIdx.x;
  const Cache cache{rows, indices + indptr[b], latent + rotary, page_size};
  const long long pages = indptr[b + 1] - indptr[b];
  const long long length = pages == 0 ? 0 : (pages - 1) * page_size + last[b];
  double* mine = weights + head * longest;
  double top = -COPPICE_INFINITY, sum = 0;
  for (long long t = threadIdx.x; t < length; t += 256) {
    const Element* row = cache.row(t);
    double dot = 0;
    for (long long d = 0; d < latent; ++d) {
      dot += static_cast<double>(coppice_widen(nope[head * latent + d])) * coppice_widen(row[d]);
    }
    for (long long d = 0; d < rotary; ++d) {
      dot += static_cast<double>(coppice_widen(rope[head * rotary + d])) * coppice_widen(row[latent + d]);
    }
    mine[t] = dot * sm_scale;
    top = fmax(top, mine[t]);
  }
  top = over_block(top, [](double a, double b) { return fmax(a, b); });
  for (long long t = threadIdx.x; t < length; t += 256) {
    mine[t] = exp(mine[t] - top);
    sum += mine[t];
  }
  sum = over_block(sum, [](double a, double b) { return a + b; });
  for (long long d = threadIdx.x; d < latent; d += 256) {
    double value = 0;
    for (long long t = 0; t < length; ++t) {
      value += mine[t] * coppice_widen(cache.row(t)[d]);
    }
    out[head * latent + d] = length == 0 ? 0.0f : static_cast<float>(value / sum);
  }
  if (threadIdx.x == 0) {
    lse[head] =
        length == 0 ? -COPPICE_INFINITY : static_cast<float>((top + log(sum)) * 1.4426950408889634);
  }
}
