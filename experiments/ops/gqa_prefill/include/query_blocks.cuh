// What the CUDA templates of prefill attention share: how queries and heads are cut into tiles.
// A row is a (token, head): kPack neighbouring heads of a group share a tile of kTokens tokens.
#pragma once

#include "coppice_hopper.cuh"

struct Problem {
  const int *starts, *first_pages, *pages, *last;
  int batch, heads, page;
};

// Rows of one block of a sequence's queries and one pack of heads.
struct Tile {
  int pack;       // heads kPack * pack and on
  int token;      // the first, of all queries
  int tokens;
  int seen;       // keys that the first token sees; at most zero: none
  int keys;       // of the sequence
  int steps;      // tiles of keys
  int first_page;
};

static __device__ __forceinline__ int warp_sum(int x) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) {
    x += __shfl_xor_sync(~0u, x, d);
  }
  return x;
}

template <class Cut>
static __device__ __forceinline__ int blocks_of(const Problem& p, int b) {
  return (p.starts[b + 1] - p.starts[b] + Cut::kTokens - 1) / Cut::kTokens;
}

// Blocks of queries with at least `level` others of their sequence before them.
template <class Cut>
static __device__ __forceinline__ int blocks_from(const Problem& p, int level) {
  if (p.batch == 1) {
    return max(0, blocks_of<Cut>(p, 0) - level);
  }
  int sum = 0;
  for (int b = threadIdx.x % 32; b < p.batch; b += 32) {
    sum += max(0, blocks_of<Cut>(p, b) - level);
  }
  return warp_sum(sum);
}

// The tile of that number; all lanes of a warp call. Packs of heads go together as far as their keys
// fit the cache (kTogether groups), and among them late blocks, which see most keys, go first.
template <class Cut>
static __device__ __forceinline__ Tile find_tile(const Problem& p, int number, int blocks) {
  const int packs = p.heads / Cut::kPack, wide = Cut::kTogether * (Cut::kGroup / Cut::kPack);
  const int first = number / (wide * blocks) * wide, inside = number % (wide * blocks);
  const int width = min(wide, packs - first), at = inside / width;
  int level = blocks - 1 - at, b = 0;
  if (p.batch > 1) {
    int low = 0, high = blocks;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (blocks_from<Cut>(p, middle) > at ? low : high) = middle;
    }
    level = low;
    int skip = at - blocks_from<Cut>(p, level + 1);
    for (int base = 0; base < p.batch; base += 32) {
      const int mine = base + threadIdx.x % 32;
      unsigned have = __ballot_sync(~0u, mine < p.batch && blocks_of<Cut>(p, min(mine, p.batch - 1)) > level);
      if (skip < __popc(have)) {
        for (; skip > 0; --skip) {
          have &= have - 1;
        }
        b = base + __ffs(have) - 1;
        break;
      }
      skip -= __popc(have);
    }
  }
  const int all = p.starts[b + 1] - p.starts[b], pages = p.first_pages[b + 1] - p.first_pages[b];
  Tile t;
  t.pack = first + inside % width;
  t.token = p.starts[b] + level * Cut::kTokens;
  t.tokens = min(static_cast<int>(Cut::kTokens), all - level * Cut::kTokens);
  t.keys = pages == 0 ? 0 : (pages - 1) * p.page + p.last[b];
  t.seen = level * Cut::kTokens + 1 + t.keys - all;
  t.steps = (max(0, t.seen + t.tokens - 1) + Cut::kTile - 1) / Cut::kTile;
  t.first_page = p.first_pages[b];
  return t;
}

// Queries that see no key.
template <class Cut, int kWidth>
static __device__ __forceinline__ void store_nothing(const Problem& p, const Tile& t, int thread, int threads,
                                                     coppice_bf16* out, float* lse) {
  constexpr int kChunks = kWidth / 8;
  for (int i = thread; i < Cut::kTokens * Cut::kPack * kChunks; i += threads) {
    const int row = i / kChunks, chunk = i % kChunks;
    if (row / Cut::kPack < t.tokens) {
      const long long to = static_cast<long long>(t.token + row / Cut::kPack) * p.heads + t.pack * Cut::kPack + row % Cut::kPack;
      coppice_write(out + to * kWidth + chunk * 8, make_uint4(0, 0, 0, 0));
      if (chunk == 0) {
        lse[to] = -COPPICE_INFINITY;
      }
    }
  }
}
