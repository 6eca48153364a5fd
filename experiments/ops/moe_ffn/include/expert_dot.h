// What the templates of moe_ffn share: types, vector width, and tiles of dot products between rows
// of an expert's weights and token vectors.
#pragma once

#include "coppice_cpu.h"

#include <algorithm>
#if DOT_DPBF16 && defined(__AVX512BF16__)
#include <immintrin.h>
#endif

using namespace coppice::simd;

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#if W_BF16
using W = coppice_bf16;
#else
using W = float;
#endif
#if INNER_BF16 || DOT_DPBF16
using Inner = coppice_bf16;  // the expert's hidden state between its two products
#else
using Inner = float;
#endif
#if VECTOR_HALF && COPPICE_NATIVE_LANES > 4
constexpr int kLanes = COPPICE_NATIVE_LANES / 2;
#else
constexpr int kLanes = COPPICE_NATIVE_LANES;
#endif
using V = Vec<kLanes>;

#if DOT_DPBF16 && defined(__AVX512BF16__)
// Pairs of bf16 products summed in f32; weights, tokens and hidden state are all bf16.
constexpr int kStep = 32;
using Element = __m512bh;
COPPICE_INLINE Element read(const coppice_bf16* from) {
  return (__m512bh)_mm512_loadu_si512(from);
}
COPPICE_INLINE V multiply_add(V sum, Element a, Element b) {
  return (V)_mm512_dpbf16_ps((__m512)sum, a, b);
}
#else
constexpr int kStep = kLanes;
using Element = V;
template <class Stored>
COPPICE_INLINE Element read(const Stored* from) {
  return load<kLanes>(from);
}
COPPICE_INLINE V multiply_add(V sum, Element a, Element b) {
  return sum + a * b;
}
#endif

// sums[r][m] = row r of `rows` . token m, over `depth` elements. Rows are streamed from memory;
// PREFETCH_BYTES asks for them ahead of time.
template <int Rows, int Tokens, class X>
COPPICE_INLINE void dot_tile(const W* const* rows,
                             const X* const* tokens,
                             std::int64_t depth,
                             float (*sums)[Tokens]) {
  V acc[Rows][Tokens] = {};
  std::int64_t d = 0;
#pragma GCC unroll 2
  for (; d + kStep <= depth; d += kStep) {
    Element x[Tokens];
#pragma GCC unroll 8
    for (int m = 0; m < Tokens; ++m) {
      x[m] = read(tokens[m] + d);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      if (PREFETCH_BYTES > 0) {
        __builtin_prefetch(reinterpret_cast<const char*>(rows[r] + d) + PREFETCH_BYTES, 0, 3);
      }
      const Element w = read(rows[r] + d);
#pragma GCC unroll 8
      for (int m = 0; m < Tokens; ++m) {
        acc[r][m] = multiply_add(acc[r][m], w, x[m]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int m = 0; m < Tokens; ++m) {
      float tail = sum<kLanes>(acc[r][m]);
      for (std::int64_t e = d; e < depth; ++e) {
        tail += coppice_widen(rows[r][e]) * coppice_widen(tokens[m][e]);
      }
      sums[r][m] = tail;
    }
  }
}

// x * sigmoid(x)
COPPICE_INLINE float silu(float x) {
  const Vec<4> e = coppice::simd::exp2<4>(broadcast<4>(-x * 1.44269504f));
  return x / (1.0f + e[0]);
}
