// Trusted device reference of moe_fp8_block_scale: one thread chooses a token's experts, a warp
// computes a row, f64 sums, nothing rounded in between; the output as unrounded f32.
#include "coppice_cuda.cuh"

static __device__ double over_lanes(double x) {
  for (int d = 16; d > 0; d >>= 1) {
    x += __shfl_xor_sync(~0u, x, d);
  }
  return x;
}

// A thread a token. `kept`, `taken`: workspace of groups and of experts bytes a token.
extern "C" __global__ void choose(const float* logits, const coppice_bf16* bias, int* ids, double* weights,
                                  unsigned char* kept_flags, unsigned char* taken_flags, long long tokens,
                                  long long experts, long long groups, long long kept, long long top_k,
                                  float factor) {
  const long long t = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (t >= tokens) {
    return;
  }
  const float* row = logits + t * experts;
  unsigned char *keep = kept_flags + t * groups, *taken = taken_flags + t * experts;
  const long long size = experts / groups;
  const auto score = [&](long long e) { return 1.0 / (1.0 + exp(-static_cast<double>(row[e]))); };
  const auto biased = [&](long long e) { return score(e) + coppice_widen(bias[e]); };
  for (long long g = 0; g < groups; ++g) {
    keep[g] = 0;
  }
  for (long long i = 0; i < kept; ++i) {
    long long best = -1;
    double best_score = 0;
    for (long long g = 0; g < groups; ++g) {
      double first = -1e300, second = -1e300;
      for (long long e = g * size; e < (g + 1) * size; ++e) {
        const double b = biased(e);
        second = b > first ? first : b > second ? b : second;
        first = b > first ? b : first;
      }
      if (!keep[g] && (best < 0 || first + second > best_score)) {
        best = g;
        best_score = first + second;
      }
    }
    keep[best] = 1;
  }
  for (long long e = 0; e < experts; ++e) {
    taken[e] = !keep[e / size];
  }
  double sum = 1e-20;
  for (long long j = 0; j < top_k; ++j) {
    long long best = -1;
    for (long long e = 0; e < experts; ++e) {
      if (!taken[e] && (best < 0 || biased(e) > biased(best))) {
        best = e;
      }
    }
    taken[best] = 1;
    ids[t * top_k + j] = static_cast<int>(best);
    weights[t * top_k + j] = score(best);
    sum += score(best);
  }
  for (long long j = 0; j < top_k; ++j) {
    weights[t * top_k + j] *= factor / sum;
  }
}

extern "C" __global__ void inner_rows(const unsigned char* x, const float* x_scale, const unsigned char* w,
                                      const float* w_scale, const int* ids, double* inner, long long tokens,
                                      long long hidden, long long inter, long long top_k, long long first,
                                      long long local) {
  const int lane = threadIdx.x % 32;
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x / 32) + threadIdx.x / 32;
  const long long slot = blockIdx.y, token = slot / top_k, e = ids[slot] - first;
  if (i >= inter || e < 0 || e >= local) {
    return;
  }
  const unsigned char *up = w + (e * 2 * inter + i) * hidden, *gate = up + inter * hidden;
  const float* up_scale = w_scale + (e * 2 * inter + i) / 128 * (hidden / 128);
  const float* gate_scale = up_scale + inter / 128 * (hidden / 128);
  double g = 0, u = 0;
  for (long long d = lane; d < hidden; d += 32) {
    const double value = static_cast<double>(coppice_widen_e4m3(x[token * hidden + d])) * x_scale[d / 128 * tokens + token];
    u += value * coppice_widen_e4m3(up[d]) * up_scale[d / 128];
    g += value * coppice_widen_e4m3(gate[d]) * gate_scale[d / 128];
  }
  g = over_lanes(g);
  u = over_lanes(u);
  if (lane == 0) {
    inner[slot * inter + i] = u * g / (1.0 + exp(-g));
  }
}

extern "C" __global__ void output_rows(const double* inner, const unsigned char* w, const float* w_scale,
                                       const int* ids, const double* weights, float* out, long long hidden,
                                       long long inter, long long top_k, long long first, long long local) {
  const int lane = threadIdx.x % 32;
  const long long d = blockIdx.x * static_cast<long long>(blockDim.x / 32) + threadIdx.x / 32;
  const long long token = blockIdx.y;
  if (d >= hidden) {
    return;
  }
  double sum = 0;
  for (long long j = 0; j < top_k; ++j) {
    const long long slot = token * top_k + j, e = ids[slot] - first;
    if (e < 0 || e >= local) {
      continue;
    }
    const unsigned char* row = w + (e * hidden + d) * inter;
    const float* scale = w_scale + (e * hidden + d) / 128 * (inter / 128);
    double part = 0;
    for (long long i = lane; i < inter; i += 32) {
      part += inner[slot * inter + i] * coppice_widen_e4m3(row[i]) * scale[i / 128];
    }
    sum += part * weights[slot];
  }
  sum = over_lanes(sum);
  if (lane == 0) {
    out[token * hidden + d] = static_cast<float>(sum);
  }
}
