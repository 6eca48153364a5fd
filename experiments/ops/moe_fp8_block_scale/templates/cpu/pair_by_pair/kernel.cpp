// Pair by pair: a token's widened state meets a few rows of weights at a time, with independent
// sums for the compiler to keep in vectors.
#include "plain_fp8_moe.h"

namespace {

// TILE_ROWS rows of weights, `stride` bytes apart, with the same scales, times x.
void dot_rows(const std::uint8_t* w,
              std::int64_t stride,
              const float* scales,
              const float* x,
              std::int64_t n,
              float (&total)[TILE_ROWS]) {
  for (float& sum : total) {
    sum = 0.0f;
  }
  for (std::int64_t block = 0; block < n / kScaled; ++block) {
    const float* values = x + block * kScaled;
    for (int r = 0; r < TILE_ROWS; ++r) {
      const std::uint8_t* row = w + r * stride + block * kScaled;
      float sums[SUMS] = {};
      for (int i = 0; i < kScaled; i += SUMS) {
        for (int j = 0; j < SUMS; ++j) {
          sums[j] += widen_e4m3(row[i + j]) * values[i + j];
        }
      }
      float sum = 0.0f;
      for (const float one : sums) {
        sum += one;
      }
      total[r] += sum * scales[block];
    }
  }
}

}  // namespace

// grid: [token]
COPPICE_KERNEL(choose) {
  choose_experts(task, args);
}

// grid: [block of inner rows, slot]
COPPICE_KERNEL(project) {
  const std::int64_t slot = task->index[1], top_k = coppice_dim(args, 6),
                     tokens = coppice_dim(args, 7);
  const std::int64_t hidden = coppice_dim(args, 8), inter = coppice_dim(args, 9),
                     token = slot / top_k;
  const std::int64_t expert = coppice_in<std::int32_t>(args, 4)[slot];
  if (expert < 0) {
    return;
  }
  float x[16384];
  for (std::int64_t d = 0; d < hidden; ++d) {
    x[d] = widen_e4m3(coppice_in<std::uint8_t>(args, 0)[token * hidden + d]) *
           coppice_in<float>(args, 1)[d / kScaled * tokens + token];
  }
  const std::int64_t deep = hidden / kScaled;
  const std::uint8_t* w = coppice_in<std::uint8_t>(args, 2) + expert * 2 * inter * hidden;
  const float* scales = coppice_in<float>(args, 3) + expert * 2 * (inter / kScaled) * deep;
  float* inner = coppice_out<float>(args, 5) + slot * inter;
  const std::int64_t begin = task->index[0] * BLOCK_INNER;
  for (std::int64_t i = begin; i < begin + BLOCK_INNER; i += TILE_ROWS) {
    float first[TILE_ROWS], second[TILE_ROWS];
    dot_rows(w + i * hidden, hidden, scales + i / kScaled * deep, x, hidden, first);
    dot_rows(
        w + (inter + i) * hidden, hidden, scales + (inter + i) / kScaled * deep, x, hidden, second);
    for (int r = 0; r < TILE_ROWS; ++r) {
      inner[i + r] = first[r] * second[r] / (1.0f + std::exp(-second[r]));
    }
  }
}

// grid: [block of outer rows, token]
COPPICE_KERNEL(collect) {
  const std::int64_t token = task->index[1], top_k = coppice_dim(args, 6);
  const std::int64_t hidden = coppice_dim(args, 7), inter = coppice_dim(args, 8);
  const std::int64_t begin = task->index[0] * BLOCK_OUTER;
  float total[BLOCK_OUTER] = {};
  for (std::int64_t slot = token * top_k; slot < (token + 1) * top_k; ++slot) {
    const std::int64_t expert = coppice_in<std::int32_t>(args, 3)[slot];
    if (expert < 0) {
      continue;
    }
    const float weight = coppice_in<float>(args, 4)[slot];
    for (std::int64_t d = begin; d < begin + BLOCK_OUTER; d += TILE_ROWS) {
      float sums[TILE_ROWS];
      dot_rows(coppice_in<std::uint8_t>(args, 1) + (expert * hidden + d) * inter,
               inter,
               coppice_in<float>(args, 2) + (expert * hidden + d) / kScaled * (inter / kScaled),
               coppice_in<float>(args, 0) + slot * inter,
               inter,
               sums);
      for (int r = 0; r < TILE_ROWS; ++r) {
        total[d - begin + r] += weight * sums[r];
      }
    }
  }
  coppice_bf16* out = coppice_out<coppice_bf16>(args, 5) + token * hidden;
  for (std::int64_t d = 0; d < BLOCK_OUTER; ++d) {
    out[begin + d] = coppice_to_bf16(total[d]);
  }
}
