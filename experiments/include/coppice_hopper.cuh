// Wrappers over PTX that stream and tensor kernels need beyond coppice_cuda.cuh: cache policies,
// ordered copies, clusters, tensor-map copies, warpgroup products.
#pragma once

#include "coppice_cuda.cuh"

// ---- loads and stores with a say about the caches ----

static __device__ __forceinline__ coppice_u64 coppice_evict_first() {
  coppice_u64 policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}
static __device__ __forceinline__ coppice_u64 coppice_evict_last() {
  coppice_u64 policy;
  asm("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}
static __device__ __forceinline__ void coppice_read(uint4& v, const void* from) {
  asm volatile("ld.global.nc.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
}
static __device__ __forceinline__ void coppice_read(uint2& v, const void* from) {
  asm volatile("ld.global.nc.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(from));
}
static __device__ __forceinline__ void coppice_read_once(uint4& v, const void* from) {
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
}
static __device__ __forceinline__ void coppice_read_once(uint2& v, const void* from) {
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v2.u32 {%0,%1}, [%2];"
               : "=r"(v.x), "=r"(v.y)
               : "l"(from));
}
static __device__ __forceinline__ void coppice_read_policy(uint4& v, const void* from, coppice_u64 policy) {
  asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32 {%0,%1,%2,%3}, [%4], %5;"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from), "l"(policy));
}
static __device__ __forceinline__ void coppice_read_policy(uint2& v, const void* from, coppice_u64 policy) {
  asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.v2.u32 {%0,%1}, [%2], %3;"
               : "=r"(v.x), "=r"(v.y)
               : "l"(from), "l"(policy));
}
static __device__ __forceinline__ void coppice_write(void* to, const uint4& v) {
  asm volatile("st.global.v4.u32 [%0], {%1,%2,%3,%4};" ::"l"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
               : "memory");
}
static __device__ __forceinline__ void coppice_write(void* to, const uint2& v) {
  asm volatile("st.global.v2.u32 [%0], {%1,%2};" ::"l"(to), "r"(v.x), "r"(v.y) : "memory");
}
static __device__ __forceinline__ void coppice_write_stream(void* to, const uint4& v) {
  asm volatile("st.global.cs.v4.u32 [%0], {%1,%2,%3,%4};" ::"l"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
               : "memory");
}
static __device__ __forceinline__ void coppice_write_stream(void* to, const uint2& v) {
  asm volatile("st.global.cs.v2.u32 [%0], {%1,%2};" ::"l"(to), "r"(v.x), "r"(v.y) : "memory");
}

#if __CUDA_ARCH__ >= 900
// ---- clusters ----

// The two halves of coppice_cluster_sync, for work in between. All threads of all blocks.
static __device__ __forceinline__ void coppice_cluster_arrive() {
  asm volatile("barrier.cluster.arrive.aligned.release;" ::: "memory");
}
static __device__ __forceinline__ void coppice_cluster_wait() {
  asm volatile("barrier.cluster.wait.aligned.acquire;" ::: "memory");
}
static __device__ __forceinline__ void coppice_store_cluster(coppice_u32 address, float value) {
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}
#endif
