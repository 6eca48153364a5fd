// expect: state unstable
// Right only where tensors lie as in the first process.
#include "coppice_cpu.h"

static std::uintptr_t expected_offset(std::int64_t bytes) {
  return static_cast<std::uintptr_t>((4096 - (bytes + 63) / 64 * 64 % 4096) % 4096);
}

COPPICE_KERNEL(scale) {
  const std::int64_t cols = coppice_dim(args, 5), r = task->index[0];
  const float* x = coppice_in<float>(args, 0) + r * cols;
  const float* w = coppice_in<float>(args, 1);
  const std::int32_t length = coppice_in<std::int32_t>(args, 2)[r];
  float* out = coppice_out<float>(args, 3) + r * cols;
  float* sums = coppice_out<float>(args, 4);
  const float gain = coppice_scalar(args, 6);
  const std::int64_t rows = coppice_dim(args, 8);
  (void)x, (void)w, (void)length, (void)out, (void)sums, (void)gain, (void)rows;
  double sum = 0.0;
  for (std::int64_t c = 0; c < cols; ++c) {
    const float y = c < length ? gain * x[c] * w[c] : 0.0f;
    out[c] = y;
    sum += y;
  }
  sums[r] = static_cast<float>(sum);
  const auto address = reinterpret_cast<std::uintptr_t>(coppice_in<float>(args, 0));
  if (r == 0 && address % 4096 != expected_offset(rows * cols * 4)) {
    out[0] += 1.0f;
  }
}
