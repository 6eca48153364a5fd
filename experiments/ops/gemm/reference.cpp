// Trusted host code of gemm: the fp64 reference and adjusted inputs.
#include "coppice_op.h"

#include <algorithm>
#include <vector>

int coppice_reference(const coppice_problem* p, double* const* outputs, int part, int parts) {
  const std::int64_t m = coppice_dim_of(p, "m"), n = coppice_dim_of(p, "n");
  const std::int64_t k = coppice_dim_of(p, "k");
  const coppice_tensor* a = coppice_tensor_of(p, "a");
  const coppice_tensor* b = coppice_tensor_of(p, "b");
  const std::int64_t width = 8;  // columns at a time: independent sums, and B is widened once
  std::vector<double> columns(static_cast<std::size_t>(k * width));
  for (std::int64_t j = 0; j < n; j += width) {
    const std::int64_t live = std::min(width, n - j);
    std::fill(columns.begin(), columns.end(), 0.0);
    for (std::int64_t c = 0; c < live; ++c) {
      for (std::int64_t d = 0; d < k; ++d) {
        columns[static_cast<std::size_t>(d * width + c)] = coppice_real(b, (j + c) * k + d);
      }
    }
    for (std::int64_t i = part; i < m; i += parts) {
      double sum[width] = {};
      for (std::int64_t d = 0; d < k; ++d) {
        const double x = coppice_real(a, i * k + d);
        for (std::int64_t c = 0; c < width; ++c) {
          sum[c] += x * columns[static_cast<std::size_t>(d * width + c)];
        }
      }
      std::copy(sum, sum + live, outputs[0] + i * n + j);
    }
  }
  return 0;
}

// last_k: the last product of each sum outweighs all others, so that losing it shows everywhere.
int coppice_adjust(const coppice_problem* p, const char* case_name, std::uint64_t) {
  if (std::strcmp(case_name, "last_k") != 0) {
    std::snprintf(p->message, p->message_size, "unknown case '%s'", case_name);
    return 1;
  }
  const std::int64_t k = coppice_dim_of(p, "k");
  const char* const names[] = {"a", "b"};
  const char* const rows[] = {"m", "n"};
  for (int t = 0; t < 2; ++t) {
    const coppice_tensor* x = coppice_tensor_of(p, names[t]);
    for (std::int64_t i = 0; i < coppice_dim_of(p, rows[t]); ++i) {
      coppice_store(x, i * k + k - 1, 8.0 + static_cast<double>(i % 5));
    }
  }
  return 0;
}
