// Expert by expert: the tokens of an expert are collected, and each row of its weights is read once
// for all of them. Tasks are blocks of rows, so that all threads work on one expert's stream.
#include "expert_dot.h"

namespace {

constexpr int kTokens = TILE_TOKENS;
constexpr int kRows = TILE_ROWS;
constexpr std::int64_t kMostPairs = 8192;  // tokens * top_k, as claimed

// The (token, expert) pairs of one expert, in token order.
struct Members {
  std::int32_t pair[kMostPairs];
  std::int64_t count = 0;
  Members(const std::int32_t* ids, std::int64_t pairs, std::int32_t expert) {
    for (std::int64_t i = 0; i < pairs; ++i) {
      pair[count] = static_cast<std::int32_t>(i);
      count += ids[i] == expert ? 1 : 0;
    }
  }
};

// Visits (row, pair, value) for rows [begin, end) of one expert's matrix and all its members.
// `vector(pair)` is the vector that a pair's rows are multiplied with; `Groups` matrices lie
// `apart` rows from each other and are multiplied together.
template <int Groups, class X, class Vector, class Visit>
COPPICE_INLINE void multiply(const W* matrix,
                             std::int64_t depth,
                             std::int64_t begin,
                             std::int64_t end,
                             std::int64_t apart,
                             const Members& members,
                             const Vector& vector,
                             const Visit& visit) {
  for (std::int64_t row = begin; row < end; row += kRows) {
    const W* rows[Groups * kRows];
    for (int r = 0; r < kRows; ++r) {
      for (int g = 0; g < Groups; ++g) {
        rows[g * kRows + r] = matrix + (std::min(row + r, end - 1) + g * apart) * depth;
      }
    }
    const auto live = static_cast<int>(std::min<std::int64_t>(kRows, end - row));
    const auto tile = [&]<int Tokens>(std::int64_t first, std::integral_constant<int, Tokens>) {
      const X* x[Tokens];
      for (int m = 0; m < Tokens; ++m) {
        x[m] = vector(members.pair[std::min(first + m, members.count - 1)]);
      }
      float sums[Groups * kRows][Tokens];
      dot_tile<Groups * kRows, Tokens>(rows, x, depth, sums);
      for (int m = 0; m < Tokens && first + m < members.count; ++m) {
        for (int r = 0; r < live; ++r) {
          visit(row + r, members.pair[first + m], sums[r][m], sums[Groups > 1 ? kRows + r : r][m]);
        }
      }
    };
    std::int64_t first = 0;
    for (; first + kTokens <= members.count; first += kTokens) {
      tile(first, std::integral_constant<int, kTokens>());
    }
    for (; first < members.count; ++first) {
      tile(first, std::integral_constant<int, 1>());
    }
  }
}

}  // namespace

// grid: [block of inner rows, expert]. Fused: gate and up together, then SwiGLU at once. Else the
// block runs over both halves and leaves raw products for `activate`.
COPPICE_KERNEL(project) {
  const std::int64_t pairs = coppice_dim(args, 4) * coppice_dim(args, 5);
  const std::int64_t hidden = coppice_dim(args, 6), inter = coppice_dim(args, 7);
  const std::int64_t top_k = coppice_dim(args, 5), expert = task->index[1];
  const Members members(
      coppice_in<std::int32_t>(args, 2), pairs, static_cast<std::int32_t>(expert));
  if (members.count == 0) {
    return;
  }
  const std::int64_t rows = FUSE_GATE_UP ? inter : 2 * inter;
  const std::int64_t begin = task->index[0] * BLOCK_INNER;
  const std::int64_t end = std::min<std::int64_t>(begin + BLOCK_INNER, rows);
  const W* matrix = coppice_in<W>(args, 1) + expert * 2 * inter * hidden;
  const T* x = coppice_in<T>(args, 0);
  const auto vector = [&](std::int32_t pair) {
    return x + pair / top_k * hidden;
  };
#if FUSE_GATE_UP
  Inner* inner = coppice_out<Inner>(args, 3);
  multiply<2, T>(matrix,
                 hidden,
                 begin,
                 end,
                 inter,
                 members,
                 vector,
                 [&](std::int64_t row, std::int32_t pair, float gate, float up) {
                   inner[pair * inter + row] = coppice_narrow<Inner>(silu(gate) * up);
                 });
#else
  float* raw = coppice_out<float>(args, 3);
  multiply<1, T>(matrix,
                 hidden,
                 begin,
                 end,
                 0,
                 members,
                 vector,
                 [&](std::int64_t row, std::int32_t pair, float value, float) {
                   raw[pair * 2 * inter + row] = value;
                 });
#endif
}

// grid: [pair]; SwiGLU of raw products
COPPICE_KERNEL(activate) {
  const std::int64_t inter = coppice_dim(args, 2);
  const float* gate = coppice_in<float>(args, 0) + task->index[0] * 2 * inter;
  Inner* inner = coppice_out<Inner>(args, 1) + task->index[0] * inter;
  for (std::int64_t i = 0; i < inter; ++i) {
    inner[i] = coppice_narrow<Inner>(silu(gate[i]) * gate[inter + i]);
  }
}

// grid: [block of outer rows]; all experts in turn, sums per token in the workspace
COPPICE_KERNEL(collect) {
  const std::int64_t tokens = coppice_dim(args, 6), top_k = coppice_dim(args, 7);
  const std::int64_t hidden = coppice_dim(args, 8), inter = coppice_dim(args, 9);
  const std::int64_t begin = task->index[0] * BLOCK_OUTER;
  const std::int64_t end = std::min<std::int64_t>(begin + BLOCK_OUTER, hidden);
  const Inner* inner = coppice_in<Inner>(args, 0);
  const float* weights = coppice_in<float>(args, 3);
  float* sums = coppice_out<float>(args, 4) + task->index[0] * BLOCK_OUTER * tokens;
  std::fill(sums, sums + tokens * BLOCK_OUTER, 0.0f);
  for (std::int64_t e = 0; e < coppice_dim(args, 10); ++e) {
    const Members members(
        coppice_in<std::int32_t>(args, 2), tokens * top_k, static_cast<std::int32_t>(e));
    if (members.count == 0) {
      continue;
    }
    multiply<1, Inner>(
        coppice_in<W>(args, 1) + e * hidden * inter,
        inter,
        begin,
        end,
        0,
        members,
        [&](std::int32_t pair) { return inner + pair * inter; },
        [&](std::int64_t row, std::int32_t pair, float value, float) {
          sums[pair / top_k * BLOCK_OUTER + row - begin] += weights[pair] * value;
        });
  }
  T* out = coppice_out<T>(args, 5);
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t d = begin; d < end; ++d) {
      out[t * hidden + d] = coppice_narrow<T>(sums[t * BLOCK_OUTER + d - begin]);
    }
  }
}
