// Two steps over pieces of rows: partial sums of squares, then a second read that adds again and
// scales. Rows are split over tasks, so that a single long row still uses all threads.
#include "coppice_cpu.h"

#include <algorithm>
#include <cmath>

namespace {

using namespace coppice::simd;

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
constexpr int kLanes = COPPICE_NATIVE_LANES;
using V = Vec<kLanes>;

struct Piece {
  std::int64_t row, begin, end;  // elements of the row
};
Piece piece_of(const coppice_task* task, std::int64_t hidden) {
  const std::int64_t share = (hidden + PIECES - 1) / PIECES;
  const std::int64_t begin = task->index[0] * share;
  return {task->index[1], std::min(begin, hidden), std::min(begin + share, hidden)};
}

}  // namespace

// grid: [piece, row]
COPPICE_KERNEL(square) {
  const std::int64_t hidden = coppice_dim(args, 3);
  const Piece p = piece_of(task, hidden);
  const T* x = coppice_in<T>(args, 0) + p.row * hidden;
  const T* residual = coppice_in<T>(args, 1) + p.row * hidden;
  V squares[SUMS] = {};
  std::int64_t i = p.begin;
  for (; i + SUMS * kLanes <= p.end; i += SUMS * kLanes) {
#pragma GCC unroll 8
    for (int u = 0; u < SUMS; ++u) {
      const V y = load<kLanes>(x + i + u * kLanes) + load<kLanes>(residual + i + u * kLanes);
      squares[u] += y * y;
    }
  }
  float total = 0.0f;
  for (; i < p.end; ++i) {
    const float y = coppice_widen(x[i]) + coppice_widen(residual[i]);
    total += y * y;
  }
  for (int u = 0; u < SUMS; ++u) {
    total += sum<kLanes>(squares[u]);
  }
  coppice_out<float>(args, 2)[p.row * PIECES + task->index[0]] = total;
}

// grid: [piece, row]
COPPICE_KERNEL(scale) {
  const std::int64_t hidden = coppice_dim(args, 5);
  const Piece p = piece_of(task, hidden);
  const T* x = coppice_in<T>(args, 0) + p.row * hidden;
  const T* residual = coppice_in<T>(args, 1) + p.row * hidden;
  const T* weight = coppice_in<T>(args, 2);
  const float* squares = coppice_in<float>(args, 4) + p.row * PIECES;
  T* out = coppice_out<T>(args, 3) + p.row * hidden;
  float total = 0.0f;
  for (int i = 0; i < PIECES; ++i) {
    total += squares[i];
  }
  const float mean = total / static_cast<float>(hidden);
  const float factor = 1.0f / std::sqrt(mean + coppice_scalar(args, 6));
  std::int64_t i = p.begin;
  for (; i + SUMS * kLanes <= p.end; i += SUMS * kLanes) {
#pragma GCC unroll 8
    for (int u = 0; u < SUMS; ++u) {
      const std::int64_t at = i + u * kLanes;
      const V y = load<kLanes>(x + at) + load<kLanes>(residual + at);
      store<kLanes>(out + at, y * factor * load<kLanes>(weight + at));
    }
  }
  for (; i < p.end; ++i) {
    const float y = coppice_widen(x[i]) + coppice_widen(residual[i]);
    out[i] = coppice_narrow<T>(y * factor * coppice_widen(weight[i]));
  }
}
