// What a CPU kernel source may include: the task it is given, its arguments, bf16, and vectors of
// the width that the host has; nothing of the host itself.
#pragma once

#include <cstddef>
#include <cstdint>

// One task of a step's grid. Tasks of a step may run in any order and at the same time.
struct coppice_task {
  std::int64_t index[3];  // this task
  std::int64_t grid[3];   // number of tasks
  std::int32_t worker;    // which worker thread runs it: 0 .. workers-1 (for per-worker workspace)
  std::int32_t workers;
};

// Defines a kernel step's entry. `args[i]` is the i-th argument of the plan's step: for tensors and
// workspace the address itself, for dims the address of an int64, for scalars the address of a
// float.
#define COPPICE_KERNEL(name)                                                            \
  extern "C" __attribute__((visibility("default"))) void name(const coppice_task* task, \
                                                              void* const* args)

template <class T>
static inline const T* coppice_in(void* const* args, int i) {
  return static_cast<const T*>(args[i]);
}
template <class T>
static inline T* coppice_out(void* const* args, int i) {
  return static_cast<T*>(args[i]);
}
static inline std::int64_t coppice_dim(void* const* args, int i) {
  return *static_cast<const std::int64_t*>(args[i]);
}
static inline float coppice_scalar(void* const* args, int i) {
  return *static_cast<const float*>(args[i]);
}

// bf16 is stored as its 16 bits.
struct coppice_bf16 {
  std::uint16_t bits;
};
static inline float coppice_widen(coppice_bf16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float out;
  __builtin_memcpy(&out, &bits, 4);
  return out;
}
static inline float coppice_widen(float x) {
  return x;
}
// Round to nearest, ties to even; NaN stays NaN.
static inline coppice_bf16 coppice_to_bf16(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
  }
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}
template <class T>
static inline T coppice_narrow(float x);
template <>
inline float coppice_narrow<float>(float x) {
  return x;
}
template <>
inline coppice_bf16 coppice_narrow<coppice_bf16>(float x) {
  return coppice_to_bf16(x);
}

// ---- Vectors of float, on the compiler's vector extensions: native on any target. `a * b + c` is
// one fused instruction where there is one. The widest vector of the host:
#if defined(__AVX512F__)
#define COPPICE_NATIVE_LANES 16
#elif defined(__AVX2__)
#define COPPICE_NATIVE_LANES 8
#else
#define COPPICE_NATIVE_LANES 4
#endif
// Everything below is inlined: how a vector would be passed to a function is of no matter.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"
#endif
#define COPPICE_INLINE inline __attribute__((always_inline))

namespace coppice::simd {

template <int Lanes>
struct Types {
  typedef float f32 __attribute__((vector_size(Lanes * 4)));
  typedef std::int32_t i32 __attribute__((vector_size(Lanes * 4)));
  typedef std::uint32_t u32 __attribute__((vector_size(Lanes * 4)));
  typedef std::uint16_t u16 __attribute__((vector_size(Lanes * 2)));
};
template <int Lanes>
using Vec = typename Types<Lanes>::f32;

template <int Lanes>
COPPICE_INLINE Vec<Lanes> broadcast(float x) {
  return x - Vec<Lanes>{};  // minus, not plus: folds to x itself, -0 included
}
// No alignment needed.
template <int Lanes>
COPPICE_INLINE Vec<Lanes> load(const float* from) {
  Vec<Lanes> out;
  __builtin_memcpy(&out, from, sizeof(out));
  return out;
}
template <int Lanes>
COPPICE_INLINE Vec<Lanes> load(const coppice_bf16* from) {
  typename Types<Lanes>::u16 bits;
  __builtin_memcpy(&bits, from, sizeof(bits));
  return (Vec<Lanes>)(__builtin_convertvector(bits, typename Types<Lanes>::u32) << 16);
}
template <int Lanes>
COPPICE_INLINE void store(float* to, Vec<Lanes> x) {
  __builtin_memcpy(to, &x, sizeof(x));
}
// Rounds to nearest, ties to even; finite values only.
template <int Lanes>
COPPICE_INLINE void store(coppice_bf16* to, Vec<Lanes> x) {
  using U = typename Types<Lanes>::u32;
  const U bits = (U)x;
  const U rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const auto half = __builtin_convertvector(rounded, typename Types<Lanes>::u16);
  __builtin_memcpy(to, &half, sizeof(half));
}
template <int Lanes>
COPPICE_INLINE Vec<Lanes> max(Vec<Lanes> a, Vec<Lanes> b) {
  return a > b ? a : b;
}
COPPICE_INLINE Vec<4> low_half(Vec<8> x) {
  return __builtin_shufflevector(x, x, 0, 1, 2, 3);
}
COPPICE_INLINE Vec<4> high_half(Vec<8> x) {
  return __builtin_shufflevector(x, x, 4, 5, 6, 7);
}
COPPICE_INLINE Vec<8> low_half(Vec<16> x) {
  return __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7);
}
COPPICE_INLINE Vec<8> high_half(Vec<16> x) {
  return __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
}
// Sums (or keeps the larger) across a vector down to four lanes.
template <int Lanes>
COPPICE_INLINE Vec<4> add_to_four(Vec<Lanes> x) {
  if constexpr (Lanes == 4) {
    return x;
  } else {
    return add_to_four<Lanes / 2>(low_half(x) + high_half(x));
  }
}
template <int Lanes>
COPPICE_INLINE float sum(Vec<Lanes> x) {
  const Vec<4> four = add_to_four<Lanes>(x);
  return (four[0] + four[2]) + (four[1] + four[3]);
}
template <int Lanes>
COPPICE_INLINE float maximum(Vec<Lanes> x) {
  if constexpr (Lanes == 4) {
    const float a = x[0] > x[1] ? x[0] : x[1];
    const float b = x[2] > x[3] ? x[2] : x[3];
    return a > b ? a : b;
  } else {
    return maximum<Lanes / 2>(max<Lanes / 2>(low_half(x), high_half(x)));
  }
}
// Four horizontal sums at once: much cheaper than four times sum().
template <int Lanes>
COPPICE_INLINE Vec<4> sum4(Vec<Lanes> a, Vec<Lanes> b, Vec<Lanes> c, Vec<Lanes> d) {
  const Vec<4> a4 = add_to_four<Lanes>(a), b4 = add_to_four<Lanes>(b);
  const Vec<4> c4 = add_to_four<Lanes>(c), d4 = add_to_four<Lanes>(d);
  const Vec<4> ab =
      __builtin_shufflevector(a4, b4, 0, 4, 1, 5) + __builtin_shufflevector(a4, b4, 2, 6, 3, 7);
  const Vec<4> cd =
      __builtin_shufflevector(c4, d4, 0, 4, 1, 5) + __builtin_shufflevector(c4, d4, 2, 6, 3, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}
// 2^x to about 2e-7 relative; below -126 it is 0, above 127 it saturates near 2^127.
template <int Lanes>
COPPICE_INLINE Vec<Lanes> exp2(Vec<Lanes> x) {
  using I = typename Types<Lanes>::i32;
  const Vec<Lanes> low = broadcast<Lanes>(-126.0f), high = broadcast<Lanes>(127.0f);
  const I vanishes = x < low;
  x = x > low ? x : low;
  x = x < high ? x : high;
  const Vec<Lanes> shifted = x + 12582912.0f;  // 1.5 * 2^23: rounds to the nearest whole number
  const Vec<Lanes> f = x - (shifted - 12582912.0f);
  Vec<Lanes> p = f * 1.5403530e-4f + 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  const Vec<Lanes> result = (Vec<Lanes>)((I)p + ((I)shifted << 23));
  return (Vec<Lanes>)((I)result & ~vanishes);
}

}  // namespace coppice::simd
