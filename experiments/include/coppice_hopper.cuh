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
static __device__ __forceinline__ float2 coppice_load_cluster_pair(coppice_u32 address) {
  float2 v;
  asm volatile("ld.shared::cluster.v2.f32 {%0,%1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(address) : "memory");
  return v;
}

// ---- barriers ----

static __device__ __forceinline__ void coppice_barrier_arrive(coppice_u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// On a barrier of another block of the cluster, as coppice_map_shared names it.
static __device__ __forceinline__ void coppice_barrier_arrive_remote(coppice_u32 barrier) {
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Part of a block: `threads` is a multiple of 32; number 0 is __syncthreads'.
static __device__ __forceinline__ void coppice_named_barrier(int number, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// ---- bulk copies ----

static __device__ __forceinline__ void coppice_bulk_policy(coppice_u32 to, const void* from, int bytes,
                                                           coppice_u32 barrier, coppice_u64 policy) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, "
      "[%3], %4;" ::"r"(to),
      "l"(from), "r"(bytes), "r"(barrier), "l"(policy)
      : "memory");
}
// To the same place in each block of the cluster that `blocks` names (a bit each), each of whose
// barriers, at the same place, hears of its own copy.
static __device__ __forceinline__ void coppice_bulk_multicast(coppice_u32 to, const void* from, int bytes,
                                                              coppice_u32 barrier, coppice_u16 blocks) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], "
      "%2, [%3], %4;" ::"r"(to),
      "l"(from), "r"(bytes), "r"(barrier), "h"(blocks)
      : "memory");
}
#endif
