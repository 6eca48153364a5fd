// Adds once and keeps each row's sums on the stack (L1) between the two sweeps: inputs are read
// once, the output is written once, rows are dealt out in blocks.
#include "coppice_cpu.h"

#include <cmath>
#if STREAM_STORES && defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

using namespace coppice::simd;

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#if VECTOR_HALF && COPPICE_NATIVE_LANES > 4
constexpr int kLanes = COPPICE_NATIVE_LANES / 2;
#else
constexpr int kLanes = COPPICE_NATIVE_LANES;
#endif
using V = Vec<kLanes>;

constexpr std::int64_t kLongest = 16384;       // elements of a row, as claimed
constexpr std::int64_t kStep = SUMS * kLanes;  // elements a step of the first sweep

// 1 / sqrt(x)
COPPICE_INLINE float inverse_root(float x) {
#if ROOT_ESTIMATE
  // A bit trick and two Newton steps: about 5e-6 relative.
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  bits = 0x5f3759dfu - (bits >> 1);
  float y;
  __builtin_memcpy(&y, &bits, 4);
  y = y * (1.5f - 0.5f * x * y * y);
  return y * (1.5f - 0.5f * x * y * y);
#else
  return 1.0f / std::sqrt(x);
#endif
}

// Past the caches: the output is not read again by us.
COPPICE_INLINE void put(T* to, V x) {
#if STREAM_STORES && defined(__AVX__) && T_F32
  constexpr std::uintptr_t kBytes = kLanes * 4;
  if (reinterpret_cast<std::uintptr_t>(to) % kBytes == 0) {
#if VECTOR_HALF && COPPICE_NATIVE_LANES == 8
    _mm_stream_ps(to, (__m128)x);
#elif VECTOR_HALF || COPPICE_NATIVE_LANES == 8
    _mm256_stream_ps(to, (__m256)x);
#else
    _mm512_stream_ps(to, (__m512)x);
#endif
    return;
  }
#endif
  store<kLanes>(to, x);
}

COPPICE_INLINE void prefetch(const T* at) {
  if (PREFETCH_BYTES > 0) {
    __builtin_prefetch(reinterpret_cast<const char*>(at) + PREFETCH_BYTES, 0, 3);
  }
}

// sums = x + residual; returns the sum of squares.
COPPICE_INLINE float add_row(const T* x, const T* residual, std::int64_t hidden, float* sums) {
  V squares[SUMS] = {};
  std::int64_t i = 0;
  for (; i + kStep <= hidden; i += kStep) {
    prefetch(x + i);
    prefetch(residual + i);
#pragma GCC unroll 8
    for (int u = 0; u < SUMS; ++u) {
      const V y = load<kLanes>(x + i + u * kLanes) + load<kLanes>(residual + i + u * kLanes);
      store<kLanes>(sums + i + u * kLanes, y);
      squares[u] += y * y;
    }
  }
  float total = 0.0f;
  for (; i < hidden; ++i) {
    sums[i] = coppice_widen(x[i]) + coppice_widen(residual[i]);
    total += sums[i] * sums[i];
  }
  for (int u = 0; u < SUMS; ++u) {
    total += sum<kLanes>(squares[u]);
  }
  return total;
}

COPPICE_INLINE void scale_row(
    const float* sums, const T* weight, float scale, std::int64_t hidden, T* out) {
  std::int64_t i = 0;
  for (; i + kLanes * 4 <= hidden; i += kLanes * 4) {
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) {
      const std::int64_t at = i + u * kLanes;
      put(out + at, load<kLanes>(sums + at) * scale * load<kLanes>(weight + at));
    }
  }
  for (; i < hidden; ++i) {
    out[i] = coppice_narrow<T>(sums[i] * scale * coppice_widen(weight[i]));
  }
}

}  // namespace

// grid: [block of rows]
COPPICE_KERNEL(normalise) {
  const std::int64_t rows = coppice_dim(args, 4), hidden = coppice_dim(args, 5);
  const std::int64_t begin = task->index[0] * BLOCK_ROWS;
  const std::int64_t end = begin + BLOCK_ROWS < rows ? begin + BLOCK_ROWS : rows;
  alignas(64) float sums[kLongest];
  for (std::int64_t r = begin; r < end; ++r) {
    const T* x = coppice_in<T>(args, 0) + r * hidden;
    const T* residual = coppice_in<T>(args, 1) + r * hidden;
    const float squares = add_row(x, residual, hidden, sums);
    const float mean = squares / static_cast<float>(hidden);
    scale_row(sums,
              coppice_in<T>(args, 2),
              inverse_root(mean + coppice_scalar(args, 6)),
              hidden,
              coppice_out<T>(args, 3) + r * hidden);
  }
#if STREAM_STORES && defined(__SSE2__)
  _mm_sfence();
#endif
}
