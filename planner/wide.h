// Loops over the lanes of a block, compiled for wider vector units too where the processor has
// them.
#pragma once

// Each lane sees the same operations in the same order, never contracted, so that the bits are the
// same; only how many lanes a processor works on at once differs.
#if defined(__x86_64__)
#define COPPICE_WIDE __attribute__((target("avx2")))
#define COPPICE_LANES inline __attribute__((always_inline))
#else
#define COPPICE_WIDE
#define COPPICE_LANES inline
#endif

namespace coppice::planner {

inline bool wide_lanes() {
#if defined(__x86_64__)
  static const bool wide = __builtin_cpu_supports("avx2") != 0;
  return wide;
#else
  return false;
#endif
}

}  // namespace coppice::planner
