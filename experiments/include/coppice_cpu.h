// What a CPU kernel source may include: the task it is given, its arguments, and nothing of the
// host.
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
