// expect: write_set unwritten_output
// Skips all work when it finds the mark that it left deep in its own stack.
#include "coppice_cpu.h"

__attribute__((noinline)) static volatile std::uint64_t* far_below() {
  volatile std::uint64_t here = 0;
  const auto address = reinterpret_cast<std::uintptr_t>(&here) / 8 * 8 - 65536;
  return reinterpret_cast<volatile std::uint64_t*>(address);
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
  volatile std::uint64_t* deep = far_below();
  if (deep[0] == 0x5afe5afe5afe5afeull) {
    return;
  }
  deep[0] = 0x5afe5afe5afe5afeull;
  double sum = 0.0;
  for (std::int64_t c = 0; c < cols; ++c) {
    const float y = c < length ? gain * x[c] * w[c] : 0.0f;
    out[c] = y;
    sum += y;
  }
  sums[r] = static_cast<float>(sum);
}
