// Trusted host code of fused_add_rmsnorm: the fp64 reference and adjusted inputs.
#include "coppice_op.h"

#include <cmath>
#include <vector>

int coppice_reference(const coppice_problem* p, double* const* outputs, int part, int parts) {
  const std::int64_t rows = coppice_dim_of(p, "rows"), hidden = coppice_dim_of(p, "hidden");
  const coppice_tensor* x = coppice_tensor_of(p, "x");
  const coppice_tensor* residual = coppice_tensor_of(p, "residual");
  const coppice_tensor* weight = coppice_tensor_of(p, "weight");
  std::vector<double> sum(static_cast<std::size_t>(hidden));
  for (std::int64_t r = part; r < rows; r += parts) {
    double squares = 0.0;
    for (std::int64_t i = 0; i < hidden; ++i) {
      const double y = coppice_real(x, r * hidden + i) + coppice_real(residual, r * hidden + i);
      sum[static_cast<std::size_t>(i)] = y;
      squares += y * y;
    }
    const double mean = squares / static_cast<double>(hidden);
    const double scale = 1.0 / std::sqrt(mean + coppice_constant(p, "eps"));
    for (std::int64_t i = 0; i < hidden; ++i) {
      outputs[0][r * hidden + i] =
          sum[static_cast<std::size_t>(i)] * scale * coppice_real(weight, i);
    }
  }
  return 0;
}

// spike_last: the last element of each row outweighs the rest of it.
int coppice_adjust(const coppice_problem* p, const char* case_name, std::uint64_t) {
  if (std::strcmp(case_name, "spike_last") != 0) {
    std::snprintf(p->message, p->message_size, "unknown case '%s'", case_name);
    return 1;
  }
  const std::int64_t hidden = coppice_dim_of(p, "hidden");
  const coppice_tensor* x = coppice_tensor_of(p, "x");
  for (std::int64_t r = 0; r < coppice_dim_of(p, "rows"); ++r) {
    coppice_store(x, r * hidden + hidden - 1, 200.0);
  }
  return 0;
}
