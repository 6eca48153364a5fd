// Compiled by NVRTC for the device at hand; never in one process with candidate code.
#include "evaluators/cuda/trusted_kernels.h"

namespace coppice::evaluators::cuda {

// DType numbering is that of core/op.h: f64 f32 f16 bf16 e4m3 e5m2 i64 i32 i8 u8.
const char* const kTrustedSource = R"CUDA(
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned short u16;

__device__ __forceinline__ u64 mix64(u64 x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}
__device__ __forceinline__ u16 to_bf16(float x) {
  u32 bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (u16)((bits >> 16) | 0x40u);
  return (u16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
__device__ __forceinline__ u16 to_f16(float x) {
  u16 out;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out) : "f"(x));
  return out;
}
__device__ __forceinline__ float from_f16(u16 x) {
  float out;
  asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(x));
  return out;
}
__device__ __forceinline__ unsigned char to_fp8(float x, bool e5m2) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  u16 out;
  if (e5m2) asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(out) : "f"(0.0f), "f"(x));
  else asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(out) : "f"(0.0f), "f"(x));
  return (unsigned char)(out & 0xff);
#else
  return 0x7f;
#endif
}
// kind: 0 normal, 1 uniform, 2 constant. The grammar stands in evaluators/values.h.
__device__ __forceinline__ float value_at(int kind, u64 key, float scale, float offset, u64 i) {
  if (kind == 2) return __fadd_rn(scale, offset);
  const u64 x = mix64(key + i * 0x9e3779b97f4a7c15ull);
  if (kind == 0) {
    const int u = (int)((x & 0xffff) + ((x >> 16) & 0xffff) + ((x >> 32) & 0xffff) + (x >> 48));
    return __fadd_rn(__fmul_rn((float)(u - 131070), scale), offset);
  }
  const float a = __fadd_rn(__fmul_rn((float)(int)(x >> 40), 1.1920928955078125e-07f), -1.0f);
  return __fadd_rn(__fmul_rn(a, scale), offset);
}
extern "C" __global__ void coppice_draw(void* out, u64 count, int dtype, int kind, u64 key,
                                        float scale, float offset) {
  const u64 stride = (u64)gridDim.x * blockDim.x;
  const u64 start = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  if (dtype == 3 && (count & 7) == 0) {  // bf16: 16 bytes a thread
    for (u64 i = start; i < count / 8; i += stride) {
      u32 word[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const u32 low = to_bf16(value_at(kind, key, scale, offset, i * 8 + 2 * k));
        const u32 high = to_bf16(value_at(kind, key, scale, offset, i * 8 + 2 * k + 1));
        word[k] = low | (high << 16);
      }
      ((uint4*)out)[i] = make_uint4(word[0], word[1], word[2], word[3]);
    }
    return;
  }
  for (u64 i = start; i < count; i += stride) {
    const float x = value_at(kind, key, scale, offset, i);
    switch (dtype) {
      case 0: ((double*)out)[i] = x; break;
      case 1: ((float*)out)[i] = x; break;
      case 2: ((u16*)out)[i] = to_f16(x); break;
      case 3: ((u16*)out)[i] = to_bf16(x); break;
      case 4: ((unsigned char*)out)[i] = to_fp8(x, false); break;
      case 5: ((unsigned char*)out)[i] = to_fp8(x, true); break;
      case 6: ((long long*)out)[i] = (long long)rintf(x); break;
      case 7: ((int*)out)[i] = (int)rintf(x); break;
      case 8: ((signed char*)out)[i] = (signed char)rintf(x); break;
      default: ((unsigned char*)out)[i] = (unsigned char)rintf(x); break;
    }
  }
}

struct Comparison {
  double diff2, ref2, worst_row, worst_ratio;
  u64 finite, non_finite, unwritten, beyond, first_bad;
};
struct Tolerance {
  double relative, scaled, absolute;
};
__device__ __forceinline__ bool poisoned(const void* p, u64 i, int width) {
  switch (width) {
    case 1: return ((const unsigned char*)p)[i] == 0xff;
    case 2: return ((const u16*)p)[i] == 0xffff;
    case 4: return ((const u32*)p)[i] == 0xffffffffu;
    default: return ((const u64*)p)[i] == ~0ull;
  }
}
__device__ __forceinline__ double widen(const void* p, u64 i, int dtype) {
  switch (dtype) {
    case 0: return ((const double*)p)[i];
    case 1: return ((const float*)p)[i];
    case 2: return from_f16(((const u16*)p)[i]);
    case 3: return __uint_as_float((u32)((const u16*)p)[i] << 16);
    case 6: return (double)((const long long*)p)[i];
    case 7: return ((const int*)p)[i];
    case 8: return ((const signed char*)p)[i];
    default: return ((const unsigned char*)p)[i];
  }
}
// Floating outputs have an f32 reference, integers one of their own type.
__device__ __forceinline__ double wanted(const void* p, u64 i, int dtype) {
  return dtype <= 5 ? (double)((const float*)p)[i] : widen(p, i, dtype);
}
__device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
  for (int k = 16; k > 0; k >>= 1) x += __shfl_xor_sync(~0u, x, k);
  return x;
}
__device__ __forceinline__ double warp_max(double x) {
#pragma unroll
  for (int k = 16; k > 0; k >>= 1) x = fmax(x, __shfl_xor_sync(~0u, x, k));
  return x;
}
// Order of non-negative doubles is that of their bits.
__device__ __forceinline__ void atomic_max(double* at, double x) {
  atomicMax((u64*)at, (u64)__double_as_longlong(x));
}
// First pass: totals over the tensor; one warp a row, blockIdx.y a slot.
extern "C" __global__ void coppice_sums(const char* ring, u64 slot_stride, const char* expected,
                                        u64 expected_stride, const u32* sets, u64 elements,
                                        u64 columns, int dtype, int width, Comparison* results) {
  const char* got_base = ring + slot_stride * blockIdx.y;
  const char* want_base = expected + expected_stride * sets[blockIdx.y];
  Comparison* out = results + blockIdx.y;
  const u64 rows = (elements + columns - 1) / columns;
  const int lane = threadIdx.x & 31;
  double diff2 = 0, ref2 = 0;
  u64 finite = 0, bad = 0, unwritten = 0, first = ~0ull;
  for (u64 row = (u64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; row < rows;
       row += (u64)gridDim.x * (blockDim.x / 32)) {
    for (u64 i = row * columns + lane; i < min((row + 1) * columns, elements); i += 32) {
      const double want = wanted(want_base, i, dtype), got = widen(got_base, i, dtype);
      if (got != want && poisoned(got_base, i, width)) {
        ++unwritten;
        first = min(first, i);
      } else if (!isfinite(got) || !isfinite(want)) {
        if (got != want) {
          ++bad;
          first = min(first, i);
        }
      } else {
        diff2 += (got - want) * (got - want);
        ref2 += want * want;
        ++finite;
      }
    }
  }
  diff2 = warp_sum(diff2);
  ref2 = warp_sum(ref2);
  if (lane == 0) {
    atomicAdd(&out->diff2, diff2);
    atomicAdd(&out->ref2, ref2);
  }
  atomicAdd(&out->finite, finite);
  if (bad) atomicAdd(&out->non_finite, bad);
  if (unwritten) atomicAdd(&out->unwritten, unwritten);
  if (first != ~0ull) atomicMin(&out->first_bad, first);
}
// Second pass: rows and elements against the limits; the rules stand in evaluators/compare.h.
extern "C" __global__ void coppice_compare(const char* ring, u64 slot_stride, const char* expected,
                                           u64 expected_stride, const u32* sets, u64 elements,
                                           u64 columns, int dtype, Tolerance limit,
                                           Comparison* results) {
  const char* got_base = ring + slot_stride * blockIdx.y;
  const char* want_base = expected + expected_stride * sets[blockIdx.y];
  Comparison* out = results + blockIdx.y;
  const double rms = sqrt(out->ref2 / (double)max(out->finite, 1ull));
  const u64 rows = (elements + columns - 1) / columns;
  const int lane = threadIdx.x & 31;
  u64 beyond = 0;
  for (u64 row = (u64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; row < rows;
       row += (u64)gridDim.x * (blockDim.x / 32)) {
    const u64 end = min((row + 1) * columns, elements);
    double diff2 = 0, ref2 = 0, count = 0;
    for (u64 i = row * columns + lane; i < end; i += 32) {
      const double want = wanted(want_base, i, dtype), got = widen(got_base, i, dtype);
      if (isfinite(got) && isfinite(want)) {
        diff2 += (got - want) * (got - want);
        ref2 += want * want;
        count += 1;
      }
    }
    diff2 = warp_sum(diff2);
    ref2 = warp_sum(ref2);
    count = fmax(warp_sum(count), 1.0);
    const double row_rms = fmax(sqrt(ref2 / count), 1e-6 * rms);
    const double row_error = diff2 == 0 ? 0 : sqrt(diff2 / count) / fmax(row_rms, 1e-300);
    double worst = 0;
    for (u64 i = row * columns + lane; i < end; i += 32) {
      const double want = wanted(want_base, i, dtype), got = widen(got_base, i, dtype);
      if (!isfinite(want)) continue;
      const double distance = fabs(got - want);
      const double bound = limit.absolute >= 0 ? limit.absolute
                                               : limit.relative * fabs(want) + limit.scaled * row_rms;
      const double ratio = distance == 0 ? 0 : distance / fmax(bound, 1e-300);
      if (!(ratio <= 1.0)) ++beyond;
      worst = fmax(worst, isfinite(ratio) ? ratio : 1e300);
    }
    worst = warp_max(worst);
    if (lane == 0) {
      atomic_max(&out->worst_row, row_error);
      atomic_max(&out->worst_ratio, worst);
    }
  }
  if (beyond) atomicAdd(&out->beyond, beyond);
}
struct Range {
  u64 address, bytes;
};
// Counts words of the ranges that are no longer all ones; blockIdx.y is the range.
extern "C" __global__ void coppice_guards(const Range* ranges, u64* damaged) {
  const Range range = ranges[blockIdx.y];
  const u64* words = (const u64*)range.address;
  u64 wrong = 0;
  for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < range.bytes / 8;
       i += (u64)gridDim.x * blockDim.x) {
    wrong += words[i] != ~0ull;
  }
  if (wrong) atomicAdd(damaged + blockIdx.y, wrong);
}
// An order-free sum over position-keyed words: any single changed word changes it.
extern "C" __global__ void coppice_digest(const ulonglong2* words, u64 pairs, u64* digest) {
  u64 sum = 0;
  const u64 stride = (u64)gridDim.x * blockDim.x;
  u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  for (; i + 3 * stride < pairs; i += 4 * stride) {
    ulonglong2 w[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) w[k] = words[i + k * stride];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const u64 at = (i + k * stride) * 0x9e3779b97f4a7c15ull;
      sum += (w[k].x ^ at) * 0xbf58476d1ce4e5b9ull + (w[k].y ^ ~at) * 0x94d049bb133111ebull;
    }
  }
  for (; i < pairs; i += stride) {
    const u64 at = i * 0x9e3779b97f4a7c15ull;
    const ulonglong2 w = words[i];
    sum += (w.x ^ at) * 0xbf58476d1ce4e5b9ull + (w.y ^ ~at) * 0x94d049bb133111ebull;
  }
#pragma unroll
  for (int k = 16; k > 0; k >>= 1) sum += __shfl_xor_sync(~0u, sum, k);
  if ((threadIdx.x & 31) == 0) atomicAdd(digest, sum);
}
// Known answer: out[i] = mix64(i + seed). A device that gets this wrong is not to be trusted.
extern "C" __global__ void coppice_canary(u64* out, u64 count, u64 seed) {
  for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count;
       i += (u64)gridDim.x * blockDim.x) {
    out[i] = mix64(i + seed);
  }
}
// A plain cold read: what the memory gives at best.
extern "C" __global__ void coppice_stream(const uint4* in, u64 count, u32* out) {
  const u64 stride = (u64)gridDim.x * blockDim.x;
  u32 sum = 0;
  for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += 8 * stride) {
    uint4 v[8];
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      v[k] = i + k * stride < count ? __ldcs(in + i + k * stride) : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int k = 0; k < 8; ++k) sum ^= v[k].x + v[k].y + v[k].z + v[k].w;
  }
  if (sum == 0x7fffffffu) *out = sum;
}
)CUDA";

}  // namespace coppice::evaluators::cuda
