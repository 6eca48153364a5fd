// Products of a warpgroup of any width (coppice_hopper.cuh has the powers of two), and what goes with
// roles of warpgroups.
#pragma once

#include "coppice_hopper.cuh"

#if __CUDA_ARCH__ >= 900
static __device__ __forceinline__ void coppice_tensor_copy3(coppice_u32 to, const coppice_tensor_map& map,
                                                            coppice_u32 barrier, int x0, int x1, int x2) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4, %5}], [%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(x0), "r"(x1), "r"(x2)
      : "memory");
}
static __device__ __forceinline__ void coppice_tensor_copy5(coppice_u32 to, const coppice_tensor_map& map,
                                                            coppice_u32 barrier, const int (&x)[5]) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4, %5, %6, %7}], [%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(x[4])
      : "memory");
}
static __device__ __forceinline__ void coppice_tensor_copy5(coppice_u32 to, const coppice_tensor_map& map,
                                                            coppice_u32 barrier, const int (&x)[5],
                                                            coppice_u64 policy) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], "
      "[%1, {%3, %4, %5, %6, %7}], [%2], %8;" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(x[4]), "l"(policy)
      : "memory");
}
// To the same place in each block of the cluster that `blocks` names (a bit each), each of whose
// barriers, at the same place, hears of its own copy.
static __device__ __forceinline__ void coppice_tensor_copy5_multicast(coppice_u32 to, const coppice_tensor_map& map,
                                                                      coppice_u32 barrier, const int (&x)[5],
                                                                      coppice_u16 blocks, coppice_u64 policy) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster"
      ".L2::cache_hint [%0], "
      "[%1, {%3, %4, %5, %6, %7}], [%2], %8, %9;" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(x[4]), "h"(blocks), "l"(policy)
      : "memory");
}
// Before the tensor cores or the copy engine read what ordinary stores or cp.async wrote.
static __device__ __forceinline__ void coppice_async_fence() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
#endif

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// Registers change hands between the roles of a block: each warpgroup's role is one branch of a single
// if/else, and the kernel's __launch_bounds__ name the blocks of a multiprocessor.
template <int kRegisters>
static __device__ __forceinline__ void coppice_give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
static __device__ __forceinline__ void coppice_take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
// Nothing moves an accumulator over this line.
template <int kCount>
static __device__ __forceinline__ void coppice_wgmma_hold(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    asm volatile("" : "+f"(d[i])::"memory");
  }
}
#define COPPICE_T0 "%0,%1,%2,%3,%4,%5,%6,%7"
#define COPPICE_T1 "%8,%9,%10,%11,%12,%13,%14,%15"
#define COPPICE_T2 "%16,%17,%18,%19,%20,%21,%22,%23"
#define COPPICE_T3 "%24,%25,%26,%27,%28,%29,%30,%31"
#define COPPICE_T4 "%32,%33,%34,%35,%36,%37,%38,%39"
#define COPPICE_T5 "%40,%41,%42,%43,%44,%45,%46,%47"
#define COPPICE_T6 "%48,%49,%50,%51,%52,%53,%54,%55"
#define COPPICE_T7 "%56,%57,%58,%59,%60,%61,%62,%63"
#define COPPICE_T8 "%64,%65,%66,%67,%68,%69,%70,%71"
#define COPPICE_T9 "%72,%73,%74,%75,%76,%77,%78,%79"
#define COPPICE_T10 "%80,%81,%82,%83,%84,%85,%86,%87"
#define COPPICE_T11 "%88,%89,%90,%91,%92,%93,%94,%95"
#define COPPICE_T12 "%96,%97,%98,%99,%100,%101,%102,%103"
#define COPPICE_T13 "%104,%105,%106,%107,%108,%109,%110,%111"
#define COPPICE_T14 "%112,%113,%114,%115,%116,%117,%118,%119"
#define COPPICE_T15 "%120,%121,%122,%123,%124,%125,%126,%127"
#define COPPICE_H0 "%0,%1,%2,%3"
#define COPPICE_H1 "%8,%9,%10,%11"
#define COPPICE_H2 "%16,%17,%18,%19"
#define COPPICE_H3 "%24,%25,%26,%27"
#define COPPICE_H4 "%32,%33,%34,%35"
#define COPPICE_H5 "%40,%41,%42,%43"
#define COPPICE_H6 "%48,%49,%50,%51"
#define COPPICE_H7 "%56,%57,%58,%59"
#define COPPICE_H8 "%64,%65,%66,%67"
#define COPPICE_H9 "%72,%73,%74,%75"
#define COPPICE_H10 "%80,%81,%82,%83"
#define COPPICE_H11 "%88,%89,%90,%91"
#define COPPICE_H12 "%96,%97,%98,%99"
#define COPPICE_H13 "%104,%105,%106,%107"
#define COPPICE_H14 "%112,%113,%114,%115"
#define COPPICE_H15 "%120,%121,%122,%123"
#define COPPICE_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define COPPICE_D8(i) COPPICE_D4(i), COPPICE_D4(i + 4)
#define COPPICE_WGMMA(n, list, a_at, b_at, add_at, ...)                                             \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_at ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n \
               "k16.f32.bf16.bf16 {" list "}, " a_at ", " b_at ", p, 1, 1, 0, 0;\n}"                \
               : __VA_ARGS__                                                                       \
               : "l"(a), "l"(b), "r"(add))
// As coppice_hopper.cuh's, for any multiple of 8 columns; `add` 0: D starts from zero.
// d[4 * j + i]: row 16 * warp + lane / 4 + 8 * (i / 2), column 8 * j + 2 * (lane % 4) + i % 2.
template <int kColumns>
static __device__ __forceinline__ void coppice_wgmma(float (&d)[kColumns / 2], coppice_u64 a, coppice_u64 b,
                                                     int add) {
  static_assert(kColumns % 8 == 0 && kColumns <= 256);
  if constexpr (kColumns == 8) {
    COPPICE_WGMMA(8, COPPICE_H0, "%4", "%5", "%6",
                  COPPICE_D4(0));
  } else if constexpr (kColumns == 16) {
    COPPICE_WGMMA(16, COPPICE_T0, "%8", "%9", "%10",
                  COPPICE_D8(0));
  } else if constexpr (kColumns == 24) {
    COPPICE_WGMMA(24, COPPICE_T0 "," COPPICE_H1, "%12", "%13", "%14",
                  COPPICE_D8(0), COPPICE_D4(8));
  } else if constexpr (kColumns == 32) {
    COPPICE_WGMMA(32, COPPICE_T0 "," COPPICE_T1, "%16", "%17", "%18",
                  COPPICE_D8(0), COPPICE_D8(8));
  } else if constexpr (kColumns == 40) {
    COPPICE_WGMMA(40, COPPICE_T0 "," COPPICE_T1 "," COPPICE_H2, "%20", "%21", "%22",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D4(16));
  } else if constexpr (kColumns == 48) {
    COPPICE_WGMMA(48, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2, "%24", "%25", "%26",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16));
  } else if constexpr (kColumns == 56) {
    COPPICE_WGMMA(56, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_H3, "%28", "%29", "%30",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D4(24));
  } else if constexpr (kColumns == 64) {
    COPPICE_WGMMA(64, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3, "%32", "%33", "%34",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24));
  } else if constexpr (kColumns == 72) {
    COPPICE_WGMMA(72, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_H4, "%36", "%37", "%38",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D4(32));
  } else if constexpr (kColumns == 80) {
    COPPICE_WGMMA(80, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4, "%40", "%41", "%42",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32));
  } else if constexpr (kColumns == 88) {
    COPPICE_WGMMA(88, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_H5, "%44", "%45", "%46",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D4(40));
  } else if constexpr (kColumns == 96) {
    COPPICE_WGMMA(96, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5, "%48", "%49", "%50",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40));
  } else if constexpr (kColumns == 104) {
    COPPICE_WGMMA(104, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_H6, "%52", "%53", "%54",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D4(48));
  } else if constexpr (kColumns == 112) {
    COPPICE_WGMMA(112, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6, "%56", "%57", "%58",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48));
  } else if constexpr (kColumns == 120) {
    COPPICE_WGMMA(120, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_H7, "%60", "%61", "%62",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D4(56));
  } else if constexpr (kColumns == 128) {
    COPPICE_WGMMA(128, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7, "%64", "%65", "%66",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56));
  } else if constexpr (kColumns == 136) {
    COPPICE_WGMMA(136, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_H8, "%68", "%69", "%70",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D4(64));
  } else if constexpr (kColumns == 144) {
    COPPICE_WGMMA(144, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8, "%72", "%73", "%74",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64));
  } else if constexpr (kColumns == 152) {
    COPPICE_WGMMA(152, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_H9, "%76", "%77", "%78",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D4(72));
  } else if constexpr (kColumns == 160) {
    COPPICE_WGMMA(160, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9, "%80", "%81", "%82",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72));
  } else if constexpr (kColumns == 168) {
    COPPICE_WGMMA(168, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_H10, "%84", "%85", "%86",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D4(80));
  } else if constexpr (kColumns == 176) {
    COPPICE_WGMMA(176, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10, "%88", "%89", "%90",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80));
  } else if constexpr (kColumns == 184) {
    COPPICE_WGMMA(184, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10 "," COPPICE_H11, "%92", "%93", "%94",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80), COPPICE_D4(88));
  } else if constexpr (kColumns == 192) {
    COPPICE_WGMMA(192, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10 "," COPPICE_T11, "%96", "%97", "%98",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80), COPPICE_D8(88));
  } else if constexpr (kColumns == 200) {
    COPPICE_WGMMA(200, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10 "," COPPICE_T11 "," COPPICE_H12, "%100", "%101", "%102",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80), COPPICE_D8(88), COPPICE_D4(96));
  } else if constexpr (kColumns == 208) {
    COPPICE_WGMMA(208, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10 "," COPPICE_T11 "," COPPICE_T12, "%104", "%105", "%106",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80), COPPICE_D8(88), COPPICE_D8(96));
  } else if constexpr (kColumns == 216) {
    COPPICE_WGMMA(216, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10 "," COPPICE_T11 "," COPPICE_T12 "," COPPICE_H13, "%108", "%109", "%110",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80), COPPICE_D8(88), COPPICE_D8(96), COPPICE_D4(104));
  } else if constexpr (kColumns == 224) {
    COPPICE_WGMMA(224, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10 "," COPPICE_T11 "," COPPICE_T12 "," COPPICE_T13, "%112", "%113", "%114",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80), COPPICE_D8(88), COPPICE_D8(96), COPPICE_D8(104));
  } else if constexpr (kColumns == 232) {
    COPPICE_WGMMA(232, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10 "," COPPICE_T11 "," COPPICE_T12 "," COPPICE_T13 "," COPPICE_H14, "%116", "%117", "%118",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80), COPPICE_D8(88), COPPICE_D8(96), COPPICE_D8(104), COPPICE_D4(112));
  } else if constexpr (kColumns == 240) {
    COPPICE_WGMMA(240, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10 "," COPPICE_T11 "," COPPICE_T12 "," COPPICE_T13 "," COPPICE_T14, "%120", "%121", "%122",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80), COPPICE_D8(88), COPPICE_D8(96), COPPICE_D8(104), COPPICE_D8(112));
  } else if constexpr (kColumns == 248) {
    COPPICE_WGMMA(248, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10 "," COPPICE_T11 "," COPPICE_T12 "," COPPICE_T13 "," COPPICE_T14 "," COPPICE_H15, "%124", "%125", "%126",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80), COPPICE_D8(88), COPPICE_D8(96), COPPICE_D8(104), COPPICE_D8(112),
                  COPPICE_D4(120));
  } else if constexpr (kColumns == 256) {
    COPPICE_WGMMA(256, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7 "," COPPICE_T8 "," COPPICE_T9 "," COPPICE_T10 "," COPPICE_T11 "," COPPICE_T12 "," COPPICE_T13 "," COPPICE_T14 "," COPPICE_T15, "%128", "%129", "%130",
                  COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                  COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56), COPPICE_D8(64), COPPICE_D8(72),
                  COPPICE_D8(80), COPPICE_D8(88), COPPICE_D8(96), COPPICE_D8(104), COPPICE_D8(112),
                  COPPICE_D8(120));
  }
}

// A tile in the 128-byte swizzle, 1,024-byte aligned, whose groups of eight 128-byte rows lie apart.
// Rows along the inner dimension of the product ("along"): groups are `stride` bytes apart, `leading`
// is not looked at. Rows across it (for coppice_wgmma_across): `stride` from eight rows to the next
// eight, `leading` from 64 columns to the next 64.
static __device__ __forceinline__ coppice_u64 coppice_wgmma_spread(coppice_u32 address, int leading, int stride) {
  return ((address & 0x3ffff) >> 4) | (static_cast<coppice_u64>(leading >> 4) << 16) |
         (static_cast<coppice_u64>(stride >> 4) << 32) | (1ull << 62);
}
#define COPPICE_WGMMA_ACROSS(n, list, a_at, b_at, add_at, ...)                                       \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_at ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n \
               "k16.f32.bf16.bf16 {" list "}, {" a_at "}, " b_at ", p, 1, 1, 1;\n}"                 \
               : __VA_ARGS__                                                                        \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add))
// D (+)= a b: a from registers (as coppice_mma's 16 rows a warp), b sixteen rows of kColumns.
template <int kColumns>
static __device__ __forceinline__ void coppice_wgmma_across(float (&d)[kColumns / 2], const coppice_u32 (&a)[4],
                                                            coppice_u64 b, int add) {
  static_assert(kColumns == 64 || kColumns == 128);
  if constexpr (kColumns == 64) {
    COPPICE_WGMMA_ACROSS(64, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3, "%32,%33,%34,%35", "%36", "%37",
                         COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24));
  } else {
    COPPICE_WGMMA_ACROSS(128, COPPICE_T0 "," COPPICE_T1 "," COPPICE_T2 "," COPPICE_T3 "," COPPICE_T4 "," COPPICE_T5 "," COPPICE_T6 "," COPPICE_T7,
                         "%64,%65,%66,%67", "%68", "%69",
                         COPPICE_D8(0), COPPICE_D8(8), COPPICE_D8(16), COPPICE_D8(24), COPPICE_D8(32),
                         COPPICE_D8(40), COPPICE_D8(48), COPPICE_D8(56));
  }
}
// D (+)= a b^T: a lies as sixteen rows of 64 columns, each column a row of D; b has kColumns rows.
template <int kColumns>
static __device__ __forceinline__ void coppice_wgmma_down(float (&d)[kColumns / 2], coppice_u64 a, coppice_u64 b,
                                                          int add) {
  static_assert(kColumns == 16);
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %10, 0;\nwgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {" COPPICE_T0
               "}, %8, %9, p, 1, 1, 1, 0;\n}"
               : COPPICE_D8(0)
               : "l"(a), "l"(b), "r"(add));
}
#undef COPPICE_WGMMA_ACROSS
#undef COPPICE_WGMMA
#undef COPPICE_D8
#undef COPPICE_D4
#undef COPPICE_T0
#undef COPPICE_T1
#undef COPPICE_T2
#undef COPPICE_T3
#undef COPPICE_T4
#undef COPPICE_T5
#undef COPPICE_T6
#undef COPPICE_T7
#undef COPPICE_T8
#undef COPPICE_T9
#undef COPPICE_T10
#undef COPPICE_T11
#undef COPPICE_T12
#undef COPPICE_T13
#undef COPPICE_T14
#undef COPPICE_T15
#undef COPPICE_H0
#undef COPPICE_H1
#undef COPPICE_H2
#undef COPPICE_H3
#undef COPPICE_H4
#undef COPPICE_H5
#undef COPPICE_H6
#undef COPPICE_H7
#undef COPPICE_H8
#undef COPPICE_H9
#undef COPPICE_H10
#undef COPPICE_H11
#undef COPPICE_H12
#undef COPPICE_H13
#undef COPPICE_H14
#undef COPPICE_H15
#endif
