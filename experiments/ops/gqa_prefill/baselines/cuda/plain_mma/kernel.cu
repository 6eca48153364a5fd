// The plain tensor-core kernel that one writes first: 64 queries of a head a block, sixteen a warp,
// 64 keys copied to shared memory between two barriers, then their values. Trusted; frozen.
#include "query_blocks.cuh"

constexpr int kKeys = 64, kThreads = 128, kChunks = HEAD_DIM / 8, kPitch = HEAD_DIM * 2 + 16;

struct Cut {
  enum : int { kTokens = 64, kPack = 1, kGroup = GROUP, kTogether = 1024, kTile = kKeys };
};

static __device__ void load_rows(char* to, const coppice_bf16* cache, const Problem& p, const Tile& t, int head,
                                 int first) {
  for (int i = threadIdx.x; i < kKeys * kChunks; i += kThreads) {
    const int token = min(first + i / kChunks, t.keys - 1), kv_heads = p.heads / GROUP;
    const long long slot = static_cast<long long>(p.pages[t.first_page + token / p.page]) * p.page + token % p.page;
    *reinterpret_cast<uint4*>(to + i / kChunks * kPitch + i % kChunks * 16) =
        *reinterpret_cast<const uint4*>(cache + (slot * kv_heads + head) * HEAD_DIM + i % kChunks * 8);
  }
}

extern "C" __global__ void __launch_bounds__(kThreads)
    attend(const coppice_bf16* q, const coppice_bf16* k_cache, const coppice_bf16* v_cache, const int* starts,
           const int* first_pages, const int* pages, const int* last, coppice_bf16* out, float* lse,
           long long batch, long long heads, long long page, float sm_scale) {
  __shared__ __align__(16) char rows[kKeys * kPitch];
  const Problem p = {starts, first_pages, pages, last, static_cast<int>(batch), static_cast<int>(heads),
                     static_cast<int>(page)};
  const int blocks = blocks_from<Cut>(p, 0), lane = threadIdx.x % 32;
  if (static_cast<int>(blockIdx.x) >= blocks * p.heads) {
    return;
  }
  const Tile t = find_tile<Cut>(p, blockIdx.x, blocks);
  if (t.steps == 0) {
    store_nothing<Cut, HEAD_DIM>(p, t, threadIdx.x, kThreads, out, lse);
    return;
  }
  const int row = threadIdx.x / 32 * 16 + lane / 4, head = t.pack / GROUP;
  coppice_u32 query[HEAD_DIM / 16][4];
  float acc[HEAD_DIM / 8][4] = {}, top[2] = {-COPPICE_INFINITY, -COPPICE_INFINITY}, sum[2] = {};
  for (int k = 0; k < HEAD_DIM / 16; ++k) {
    for (int i = 0; i < 4; ++i) {
      const long long token = t.token + min(row + i % 2 * 8, t.tokens - 1);
      query[k][i] = *reinterpret_cast<const coppice_u32*>(q + (token * p.heads + t.pack) * HEAD_DIM + k * 16 +
                                                          i / 2 * 8 + lane % 4 * 2);
    }
  }
  for (int step = 0; step < t.steps; ++step) {
    __syncthreads();
    load_rows(rows, k_cache, p, t, head, step * kKeys);
    __syncthreads();
    float s[kKeys / 8][4] = {};
    for (int j = 0; j < kKeys / 8; j += 2) {
      for (int k = 0; k < HEAD_DIM / 16; ++k) {
        coppice_u32 b[4];
        coppice_ldmatrix(b, coppice_shared(rows) + (j * 8 + lane / 16 * 8 + lane % 8) * kPitch + (2 * k + lane / 8 % 2) * 16);
        coppice_mma(s[j], query[k], b[0], b[1]);
        coppice_mma(s[j + 1], query[k], b[2], b[3]);
      }
    }
    for (int h = 0; h < 2; ++h) {
      float now = top[h];
      for (int j = 0; j < kKeys / 8; ++j) {
        for (int i = 0; i < 2; ++i) {
          const bool seen = step * kKeys + j * 8 + lane % 4 * 2 + i < t.seen + row + 8 * h;
          s[j][2 * h + i] = seen ? s[j][2 * h + i] * sm_scale * 1.4426950408889634f : -COPPICE_INFINITY;
          now = fmaxf(now, s[j][2 * h + i]);
        }
      }
      now = fmaxf(now, __shfl_xor_sync(~0u, now, 1));
      now = fmaxf(now, __shfl_xor_sync(~0u, now, 2));
      const float base = now == -COPPICE_INFINITY ? 0.0f : now, shrink = exp2f(top[h] - base);
      top[h] = now;
      sum[h] *= shrink;
      for (int d = 0; d < HEAD_DIM / 8; ++d) {
        acc[d][2 * h] *= shrink;
        acc[d][2 * h + 1] *= shrink;
      }
      for (int j = 0; j < kKeys / 8; ++j) {
        for (int i = 0; i < 2; ++i) {
          s[j][2 * h + i] = exp2f(s[j][2 * h + i] - base);
          sum[h] += s[j][2 * h + i];
        }
      }
    }
    __syncthreads();
    load_rows(rows, v_cache, p, t, head, step * kKeys);
    __syncthreads();
    for (int j = 0; j < kKeys / 16; ++j) {
      const coppice_u32 a[4] = {coppice_pack(s[2 * j][0], s[2 * j][1]), coppice_pack(s[2 * j][2], s[2 * j][3]),
                                coppice_pack(s[2 * j + 1][0], s[2 * j + 1][1]),
                                coppice_pack(s[2 * j + 1][2], s[2 * j + 1][3])};
      for (int d = 0; d < HEAD_DIM / 8; d += 2) {
        coppice_u32 b[4];
        coppice_ldmatrix_t(b, coppice_shared(rows) + (j * 16 + lane % 16) * kPitch + (d + lane / 16) * 16);
        coppice_mma(acc[d], a, b[0], b[1]);
        coppice_mma(acc[d + 1], a, b[2], b[3]);
      }
    }
  }
  for (int h = 0; h < 2; ++h) {
    sum[h] += __shfl_xor_sync(~0u, sum[h], 1);
    sum[h] += __shfl_xor_sync(~0u, sum[h], 2);
    if (row + 8 * h < t.tokens) {
      const long long at = static_cast<long long>(t.token + row + 8 * h) * p.heads + t.pack;
      const float inverse = sum[h] > 0.0f ? 1.0f / sum[h] : 0.0f;
      for (int d = 0; d < HEAD_DIM / 8; ++d) {
        *reinterpret_cast<coppice_u32*>(out + at * HEAD_DIM + d * 8 + lane % 4 * 2) =
            coppice_pack(acc[d][2 * h] * inverse, acc[d][2 * h + 1] * inverse);
      }
      if (lane % 4 == 0) {
        lse[at] = sum[h] > 0.0f ? top[h] + log2f(sum[h]) : -COPPICE_INFINITY;
      }
    }
  }
}
