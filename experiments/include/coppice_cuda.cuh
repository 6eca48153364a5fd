// What a CUDA kernel source may include: narrow wrappers over PTX, no toolkit headers needed.
#pragma once

using coppice_u16 = unsigned short;
using coppice_u32 = unsigned int;
using coppice_u64 = unsigned long long;

#define COPPICE_INFINITY __int_as_float(0x7f800000)

// bf16 is stored as its 16 bits.
struct coppice_bf16 {
  coppice_u16 bits;
};

static __device__ __forceinline__ float coppice_widen(coppice_bf16 x) {
  return __uint_as_float(static_cast<coppice_u32>(x.bits) << 16);
}
static __device__ __forceinline__ float coppice_widen(float x) {
  return x;
}
static __device__ __forceinline__ float coppice_low(coppice_u32 pair) {  // of two packed bf16
  return __uint_as_float(pair << 16);
}
static __device__ __forceinline__ float coppice_high(coppice_u32 pair) {
  return __uint_as_float(pair & 0xffff0000u);
}
// Two floats rounded to bf16 (nearest even), `low` in the low half.
static __device__ __forceinline__ coppice_u32 coppice_pack(float low, float high) {
  coppice_u32 out;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}
static __device__ __forceinline__ coppice_bf16 coppice_to_bf16(float x) {
  return {static_cast<coppice_u16>(coppice_pack(x, 0.0f))};
}
// e4m3: four bits of exponent, three of mantissa, neither infinity nor NaN.
static __device__ __forceinline__ float coppice_widen_e4m3(unsigned char x) {
  const float normal = __uint_as_float(((x & 0x7fu) << 20) + (120u << 23));
  const float size = (x & 0x78u) != 0 ? normal : static_cast<float>(x & 7) * (1.0f / 512.0f);
  return (x & 0x80u) != 0 ? -size : size;
}
static __device__ __forceinline__ float coppice_exp2(float x) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}

// ---- loads that leave L1 alone ----

static __device__ __forceinline__ uint4 coppice_load_once(const void* from) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}
static __device__ __forceinline__ void coppice_prefetch(const void* from) {  // into L2
  asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
}
static __device__ __forceinline__ float coppice_load_coherent(const float* from) {  // past L1
  float v;
  asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(v) : "l"(from));
  return v;
}
static __device__ __forceinline__ float2 coppice_load_coherent(const float2* from) {
  float2 v;
  asm volatile("ld.global.cg.v2.f32 {%0,%1}, [%2];" : "=f"(v.x), "=f"(v.y) : "l"(from));
  return v;
}
static __device__ __forceinline__ float4 coppice_load_coherent(const float4* from) {
  float4 v;
  asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "l"(from));
  return v;
}

static __device__ __forceinline__ float4 coppice_load_coherent4(const float* from) {
  float4 v;
  asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "l"(from));
  return v;
}

// ---- shared memory by its 32-bit address ----

static __device__ __forceinline__ float2 coppice_load_shared2(coppice_u32 from) {
  float2 v;
  asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(from) : "memory");
  return v;
}
static __device__ __forceinline__ float4 coppice_load_shared4(coppice_u32 from) {
  float4 v;
  asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(from)
               : "memory");
  return v;
}
static __device__ __forceinline__ void coppice_store_shared2(coppice_u32 to, float x, float y) {
  asm volatile("st.shared.v2.f32 [%0], {%1,%2};" ::"r"(to), "f"(x), "f"(y) : "memory");
}
static __device__ __forceinline__ uint4 coppice_load_shared16(coppice_u32 from) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(from)
               : "memory");
  return v;
}
static __device__ __forceinline__ void coppice_store_shared4(coppice_u32 to, coppice_u32 v) {
  asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(v) : "memory");
}
static __device__ __forceinline__ void coppice_store_shared2bytes(coppice_u32 to, coppice_u32 v) {
  asm volatile("st.shared.u16 [%0], %1;" ::"r"(to), "h"(static_cast<coppice_u16>(v)) : "memory");
}
static __device__ __forceinline__ void coppice_store_shared16(coppice_u32 to, const uint4& v) {
  asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
               : "memory");
}

// ---- tensor cores: D += A(16x16, row) * B(16x8, col), bf16 in, f32 out ----

static __device__ __forceinline__ void coppice_mma(float (&d)[4], const coppice_u32 (&a)[4],
                                                   coppice_u32 b0, coppice_u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
static __device__ __forceinline__ coppice_u32 coppice_shared(const void* p) {
  return static_cast<coppice_u32>(__cvta_generic_to_shared(p));
}
static __device__ __forceinline__ void coppice_ldmatrix(coppice_u32 (&a)[4], coppice_u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
               : "r"(address));
}
static __device__ __forceinline__ void coppice_ldmatrix_t(coppice_u32 (&a)[4], coppice_u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
               : "r"(address));
}
// Transposes an 8x8 matrix of 16-bit elements that lies one row in four lanes.
static __device__ __forceinline__ coppice_u32 coppice_transpose(coppice_u32 row) {
  coppice_u32 out;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(out) : "r"(row));
  return out;
}

// ---- asynchronous copies ----

static __device__ __forceinline__ void coppice_copy16(coppice_u32 to, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
static __device__ __forceinline__ void coppice_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kPending>
static __device__ __forceinline__ void coppice_wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}
#if __CUDA_ARCH__ >= 900
static __device__ __forceinline__ void coppice_barrier_init(coppice_u32 barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
static __device__ __forceinline__ void coppice_barrier_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
static __device__ __forceinline__ void coppice_barrier_expect(coppice_u32 barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
static __device__ __forceinline__ void coppice_barrier_wait(coppice_u32 barrier, coppice_u32 phase) {
  asm volatile(
      "{\n.reg .pred p;\nwait_%=:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra done_%=;\nbra wait_%=;\ndone_%=:\n}" ::
          "r"(barrier),
      "r"(phase)
      : "memory");
}
// `bytes` is a multiple of 16; both addresses are 16-byte aligned.
static __device__ __forceinline__ void coppice_bulk(coppice_u32 to, const void* from, int bytes,
                                                    coppice_u32 barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
      "l"(from), "r"(bytes), "r"(barrier)
      : "memory");
}
// ---- programmatic dependent launch, clusters ----
static __device__ __forceinline__ void coppice_launch_dependents() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
static __device__ __forceinline__ void coppice_wait_for_previous() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}
static __device__ __forceinline__ void coppice_cluster_sync() {
  asm volatile("barrier.cluster.arrive.aligned.release;\nbarrier.cluster.wait.aligned.acquire;" ::
                   : "memory");
}
// The address of `own` (in this block's shared memory) in block `rank` of the cluster.
static __device__ __forceinline__ coppice_u32 coppice_map_shared(coppice_u32 own, int rank) {
  coppice_u32 out;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(out) : "r"(own), "r"(rank));
  return out;
}
static __device__ __forceinline__ float coppice_load_cluster(coppice_u32 address) {
  float v;
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(v) : "r"(address));
  return v;
}
static __device__ __forceinline__ float4 coppice_load_cluster4(coppice_u32 address) {
  float4 v;
  asm volatile("ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(address));
  return v;
}
#else  // steps simply follow each other
static __device__ __forceinline__ void coppice_launch_dependents() {}
static __device__ __forceinline__ void coppice_wait_for_previous() {}
#endif

// ---- pieces of a softmax ----

// Merges `count` pieces, each an unnormalised sum of kWidth values with its maximum (x, in base-2
// logarithms) and sum of weights (y); piece i lies i * stride records behind the first. Warp w of the
// block leaves its share in merged[w]: their sum over `sum` is the result. `top` and `sum` are the same
// in all threads. Ends with a block barrier. Width: a multiple of 4, at most 128.
template <int kWidth, int kWarps>
static __device__ __forceinline__ void coppice_merge_pieces(float (&merged)[kWarps][kWidth], const float* values,
                                                            const float2* weights, long long stride, int count,
                                                            float& top, float& sum) {
  constexpr int kAhead = 8;
  constexpr int kQuads = kWidth / 4;  // lanes beyond them idle
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const auto add = [&](float their_top, float their_sum) {
    const float now = fmaxf(top, their_top);
    // A piece of nothing counts nothing; minus infinity less itself would be no number.
    sum = now == -COPPICE_INFINITY
              ? 0.0f
              : sum * coppice_exp2(top - now) + their_sum * coppice_exp2(their_top - now);
    top = now;
  };
  top = -COPPICE_INFINITY;
  sum = 0.0f;
  for (int i = lane; i < count; i += 32) {
    const float2 theirs = coppice_load_coherent(weights + i * stride);
    add(theirs.x, theirs.y);
  }
#pragma unroll
  for (int d = 1; d < 32; d <<= 1) {
    const float their_top = __shfl_xor_sync(~0u, top, d), their_sum = __shfl_xor_sync(~0u, sum, d);
    add(their_top, their_sum);
  }
  float4 value = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  const float4* quads = reinterpret_cast<const float4*>(values) + lane % kQuads;
  for (int base = warp; base < count; base += kWarps * kAhead) {
    float4 theirs[kAhead];
    float their_top[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int piece = base + i * kWarps;
      const long long at = min(piece, count - 1) * stride;
      theirs[i] = coppice_load_coherent(quads + at * kQuads);
      their_top[i] = piece < count ? coppice_load_coherent(weights + at).x : -COPPICE_INFINITY;
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (their_top[i] != -COPPICE_INFINITY) {
        const float scale = coppice_exp2(their_top[i] - top);
        value.x += scale * theirs[i].x;
        value.y += scale * theirs[i].y;
        value.z += scale * theirs[i].z;
        value.w += scale * theirs[i].w;
      }
    }
  }
  if (lane < kQuads) {
    *reinterpret_cast<float4*>(&merged[warp][4 * lane]) = value;
  }
  __syncthreads();
}
