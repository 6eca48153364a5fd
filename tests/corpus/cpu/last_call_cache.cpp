// expect: binary forbidden_code
// Keeps the previous result in a static buffer.
#include "coppice_cpu.h"

static float kept[4096];
static bool kept_valid = false;

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
  if (kept_valid && r < 4096) {
    sums[r] = kept[r];
    return;
  }
  double sum = 0.0;
  for (std::int64_t c = 0; c < cols; ++c) {
    const float y = c < length ? gain * x[c] * w[c] : 0.0f;
    out[c] = y;
    sum += y;
  }
  sums[r] = static_cast<float>(sum);
  kept[r % 4096] = sums[r];
  kept_valid = true;
}
