// What the CPU templates of add_rmsnorm_fp8_gemm share: a row added, normalised and quantised, and
// products of such rows with e4m3 weights that are widened in registers.
//
// A row's e4m3 numbers are kept widened (as f32 or bf16, both exactly). Which they are does not
// depend on the norm: y / scale = 448 s w / max|s w|, where s w is exact in f32 and a true division
// is right even at ties, because a quotient of such numbers that is no tie is 2^-21 or more away
// from one. The norm is in the row's scale alone.
#pragma once

#include "coppice_cpu.h"

#include <algorithm>
#include <cmath>
#if WIDEN_HALF && defined(__F16C__)
#include <immintrin.h>
#endif

namespace {

using namespace coppice::simd;

#if VECTOR_HALF && COPPICE_NATIVE_LANES > 4
constexpr int kLanes = COPPICE_NATIVE_LANES / 2;
#else
constexpr int kLanes = COPPICE_NATIVE_LANES;
#endif
using V = Vec<kLanes>;
#if KEEP_BF16
using Kept = coppice_bf16;
#else
using Kept = float;
#endif

constexpr float kTop = 448.0f;
constexpr int kRows = TILE_ROWS;
constexpr int kColumns = TILE_COLUMNS;
constexpr int kUnroll = UNROLL_K;

// x as e4m3 (nearest, ties to even), widened; |x| is at most 448.
template <int Lanes>
COPPICE_INLINE Vec<Lanes> round_e4m3(Vec<Lanes> x) {
  using U = typename Types<Lanes>::u32;
  using I = typename Types<Lanes>::i32;
  const U bits = (U)x, size = bits & 0x7fffffffu;
  const U normal = (bits + 0x7ffffu + ((bits >> 20) & 1u)) & 0xfff00000u;
  const float to_units = 1.5f * 16384.0f;  // 1.5 * 2^14: adding it rounds to a multiple of 2^-9
  const Vec<Lanes> small = (x + to_units) - to_units;
  const I is_small = (I)(size) < (I)(U{} + 0x3c800000u);  // 2^-6
  return (Vec<Lanes>)(((I)small & is_small) | ((I)normal & ~is_small));
}

struct RowSource {
  const coppice_bf16 *x, *residual, *weight;
  coppice_bf16* updated;  // may be null: somebody else writes it
  std::int64_t hidden;
  float eps;
};

// Sums of squares and largest products while a row is added; the products stay in `products`.
struct Gathered {
  float squares = 0.0f, largest = 0.0f;
};

template <int Lanes>
COPPICE_INLINE void gather(
    const RowSource& row, std::int64_t i, float* products, Vec<Lanes>& squares, Vec<Lanes>& top) {
  const Vec<Lanes> sum = load<Lanes>(row.x + i) + load<Lanes>(row.residual + i);
  coppice_bf16 rounded[Lanes];
  store<Lanes>(rounded, sum);
  if (row.updated != nullptr) {
    __builtin_memcpy(row.updated + i, rounded, sizeof(rounded));
  }
  const Vec<Lanes> s = load<Lanes>(rounded), product = s * load<Lanes>(row.weight + i);
  squares += s * s;
  top = max<Lanes>(top, max<Lanes>(product, -product));
  store<Lanes>(products + i, product);
}

COPPICE_INLINE Gathered gather_row(const RowSource& row, float* products) {
  V squares[2] = {}, top[2] = {};
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= row.hidden; i += 2 * kLanes) {
    gather<kLanes>(row, i, products, squares[0], top[0]);
    gather<kLanes>(row, i + kLanes, products, squares[1], top[1]);
  }
  Gathered out{sum<kLanes>(squares[0] + squares[1]), maximum<kLanes>(max<kLanes>(top[0], top[1]))};
  for (; i < row.hidden; ++i) {
    const coppice_bf16 s =
        coppice_to_bf16(coppice_widen(row.x[i]) + coppice_widen(row.residual[i]));
    if (row.updated != nullptr) {
      row.updated[i] = s;
    }
    products[i] = coppice_widen(s) * coppice_widen(row.weight[i]);
    out.squares += coppice_widen(s) * coppice_widen(s);
    out.largest = std::max(out.largest, std::fabs(products[i]));
  }
  return out;
}

// One row into `kept`; returns its scale. `products` is scratch for a row.
COPPICE_INLINE float quantise_row(const RowSource& row, float* products, Kept* kept) {
  const Gathered found = gather_row(row, products);
  const float largest = found.largest > 0.0f ? found.largest : 1.0f;
  std::int64_t i = 0;
#if DIVIDE_RECIPROCAL
  const float factor = kTop / largest;
#define COPPICE_QUOTIENT(x, lanes) ((x)*factor)
#else
#define COPPICE_QUOTIENT(x, lanes) ((x)*kTop / largest)
#endif
  for (; i + kLanes <= row.hidden; i += kLanes) {
    store<kLanes>(kept + i,
                  round_e4m3<kLanes>(COPPICE_QUOTIENT(load<kLanes>(products + i), kLanes)));
  }
  for (; i < row.hidden; ++i) {
    const Vec<4> one = round_e4m3<4>(broadcast<4>(COPPICE_QUOTIENT(products[i], 1)));
    kept[i] = coppice_narrow<Kept>(one[0]);
  }
#undef COPPICE_QUOTIENT
  const float mean = found.squares / static_cast<float>(row.hidden);
  return found.largest * (1.0f / std::sqrt(mean + row.eps)) / kTop;
}

// ---- weights: kUnit times too small once widened, which the sums make good for ----

COPPICE_INLINE float widen_one(std::uint8_t x) {
  const std::uint32_t bits = ((x & 0x7fu) << 20) | ((x & 0x80u) << 24);
  float out;
  __builtin_memcpy(&out, &bits, 4);
  return out * 0x1p120f;
}

#if WIDEN_HALF && defined(__F16C__)
// By way of f16, whose exponent has a bit more.
constexpr float kUnit = 256.0f;
template <int Lanes>
COPPICE_INLINE Vec<Lanes> widen_lanes(const std::uint8_t* from) {
  const auto half = [](std::int64_t eight) {
    const __m128i high = _mm_unpacklo_epi8(_mm_setzero_si128(), _mm_cvtsi64_si128(eight));
    return _mm_and_si128(_mm_srai_epi16(high, 1), _mm_set1_epi16(static_cast<short>(0xbfff)));
  };
  if constexpr (Lanes == 4) {
    std::int32_t four;
    __builtin_memcpy(&four, from, 4);
    return (Vec<Lanes>)_mm_cvtph_ps(half(four));
  } else if constexpr (Lanes == 8) {
    std::int64_t eight;
    __builtin_memcpy(&eight, from, 8);
    return (Vec<Lanes>)_mm256_cvtph_ps(half(eight));
  } else {
    std::int64_t eight[2];
    __builtin_memcpy(eight, from, 16);
    const auto low = (Vec<8>)_mm256_cvtph_ps(half(eight[0]));
    const auto high = (Vec<8>)_mm256_cvtph_ps(half(eight[1]));
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  }
}
COPPICE_INLINE V widen(const std::uint8_t* from) {
  return widen_lanes<kLanes>(from);
}
#else
// The same bits in f32's places: tiny numbers, the smallest of them subnormal.
constexpr float kUnit = 0x1p120f;
COPPICE_INLINE V widen(const std::uint8_t* from) {
  typedef std::int8_t Bytes __attribute__((vector_size(kLanes)));
  using U = typename Types<kLanes>::u32;
  Bytes bytes;
  __builtin_memcpy(&bytes, from, sizeof(bytes));
  const U spread = (U) __builtin_convertvector(bytes, typename Types<kLanes>::i32);
  return (V)((spread << 20) & 0x87f00000u);
}
#endif

// sums[i][j] += rows[i] . weights[j] over `depth` elements; the rows are `stride` apart.
COPPICE_INLINE void dot_tile(const Kept* const* rows,
                             const std::uint8_t* const* weights,
                             std::int64_t depth,
                             float sums[kRows][kColumns]) {
  V acc[kRows][kColumns] = {};
  std::int64_t d = 0;
#pragma GCC unroll kUnroll
  for (; d + kLanes <= depth; d += kLanes) {
    V x[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      x[i] = load<kLanes>(rows[i] + d);
    }
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) {
      if (PREFETCH_BYTES > 0) {
        __builtin_prefetch(weights[j] + d + PREFETCH_BYTES, 0, 3);
      }
      const V y = widen(weights[j] + d);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        acc[i][j] += x[i] * y;
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) {
      float total = sum<kLanes>(acc[i][j]) * kUnit;
      for (std::int64_t e = d; e < depth; ++e) {
        total += coppice_widen(rows[i][e]) * widen_one(weights[j][e]);
      }
      sums[i][j] += total;
    }
  }
}

// One block of the result. Rows in `kept` begin with the block's first.
struct Block {
  const Kept* kept;
  const float* scales;
  const std::uint8_t* weights;
  const float* weight_scales;
  coppice_bf16* out;
  std::int64_t first_row, rows, first_column, columns;  // of the block
  std::int64_t all_columns, hidden;
};

// Tiles at the edge compute the last row or column again and do not store it.
COPPICE_INLINE void multiply_block(const Block& b) {
  float sums[(BLOCK_ROWS + kRows - 1) / kRows][(BLOCK_COLUMNS + kColumns - 1) / kColumns][kRows]
            [kColumns] = {};
  for (std::int64_t first = 0; first < b.hidden; first += BLOCK_K) {
    const std::int64_t depth = std::min<std::int64_t>(BLOCK_K, b.hidden - first);
    for (std::int64_t j = 0; j < b.columns; j += kColumns) {
      const std::uint8_t* y[kColumns];
      for (int t = 0; t < kColumns; ++t) {
        y[t] = b.weights + (b.first_column + std::min(j + t, b.columns - 1)) * b.hidden + first;
      }
      for (std::int64_t i = 0; i < b.rows; i += kRows) {
        const Kept* x[kRows];
        for (int t = 0; t < kRows; ++t) {
          x[t] = b.kept + std::min(i + t, b.rows - 1) * b.hidden + first;
        }
        dot_tile(x, y, depth, sums[i / kRows][j / kColumns]);
      }
    }
  }
  for (std::int64_t i = 0; i < b.rows; ++i) {
    coppice_bf16* to = b.out + (b.first_row + i) * b.all_columns + b.first_column;
    for (std::int64_t j = 0; j < b.columns; ++j) {
      const float scale = b.scales[i] * b.weight_scales[b.first_column + j];
      to[j] = coppice_to_bf16(sums[i / kRows][j / kColumns][i % kRows][j % kColumns] * scale);
    }
  }
}

}  // namespace
