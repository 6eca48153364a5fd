// Trusted host code of add_rmsnorm_fp8_gemm: the fp64 reference, which decides each rounding to
// e4m3 exactly, and adjusted inputs.
#include "coppice_op.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

constexpr double kTop = 448.0;  // the largest e4m3 number

// p / largest * 448 as e4m3: nearest, ties to even. Neither quotient is ever formed: 448 |p| is
// compared with multiples of `largest`, and all of these products are exact in fp64 (p: 16 bits,
// largest: 16, a tie between e4m3 numbers: 5).
double quantised(double p, double largest) {
  if (p == 0.0) {
    return 0.0;
  }
  const double scaled = std::fabs(p) * kTop;
  const int exponent = std::max(std::ilogb(scaled / largest), -6);
  const double step = std::ldexp(1.0, exponent - 3);
  double count = std::floor(scaled / largest / step);
  while (count * step * largest > scaled) {  // the quotient was rounded up
    count -= 1.0;
  }
  while ((count + 1.0) * step * largest <= scaled) {
    count += 1.0;
  }
  const double twice_rest = 2.0 * (scaled - count * step * largest), whole = step * largest;
  if (twice_rest > whole || (twice_rest == whole && std::fmod(count, 2.0) == 1.0)) {
    count += 1.0;
  }
  return std::copysign(std::min(count * step, kTop), p);
}

struct Row {
  std::vector<double> sum, quantised;
  double scale = 0.0;
};

// Adds, normalises and quantises row r.
void make_row(const coppice_problem* p, std::int64_t r, Row& row) {
  const coppice_tensor* x = coppice_tensor_of(p, "x");
  const coppice_tensor* residual = coppice_tensor_of(p, "residual");
  const coppice_tensor* weight = coppice_tensor_of(p, "norm_weight");
  const std::size_t hidden = row.sum.size();
  double squares = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < hidden; ++i) {
    const auto at = static_cast<std::int64_t>(i), from = r * static_cast<std::int64_t>(hidden) + at;
    const double sum = coppice_real(x, from) + coppice_real(residual, from);
    const double s = coppice_widen(coppice_to_bf16(static_cast<float>(sum)));
    row.sum[i] = s;
    row.quantised[i] = s * coppice_real(weight, at);
    squares += s * s;
    largest = std::max(largest, std::fabs(row.quantised[i]));
  }
  const double mean = squares / static_cast<double>(hidden);
  row.scale = largest / std::sqrt(mean + coppice_constant(p, "eps")) / kTop;
  for (double& q : row.quantised) {
    q = largest > 0.0 ? quantised(q, largest) : 0.0;
  }
}

}  // namespace

int coppice_reference(const coppice_problem* p, double* const* outputs, int part, int parts) {
  const std::int64_t rows = coppice_dim_of(p, "rows"), hidden = coppice_dim_of(p, "hidden");
  const std::int64_t columns = coppice_dim_of(p, "columns");
  const coppice_tensor* weight = coppice_tensor_of(p, "weight");
  const coppice_tensor* weight_scale = coppice_tensor_of(p, "weight_scale");
  const auto depth = static_cast<std::size_t>(hidden);
  std::vector<Row> mine;
  for (std::int64_t r = part; r < rows; r += parts) {
    mine.push_back({std::vector<double>(depth), std::vector<double>(depth)});
    make_row(p, r, mine.back());
    std::copy(mine.back().sum.begin(), mine.back().sum.end(), outputs[1] + r * hidden);
  }
  std::vector<double> column(depth);
  for (std::int64_t c = 0; c < columns && !mine.empty(); ++c) {  // widened once for all rows
    for (std::size_t i = 0; i < depth; ++i) {
      column[i] = coppice_real(weight, c * hidden + static_cast<std::int64_t>(i));
    }
    for (std::size_t j = 0; j < mine.size(); ++j) {
      double sums[4] = {};
      std::size_t i = 0;
      for (; i + 4 <= depth; i += 4) {
        for (std::size_t u = 0; u < 4; ++u) {
          sums[u] += mine[j].quantised[i + u] * column[i + u];
        }
      }
      for (; i < depth; ++i) {
        sums[0] += mine[j].quantised[i] * column[i];
      }
      const std::int64_t r = part + static_cast<std::int64_t>(j) * parts;
      outputs[0][r * columns + c] =
          (sums[0] + sums[1] + sums[2] + sums[3]) * mine[j].scale * coppice_real(weight_scale, c);
    }
  }
  return 0;
}

// outlier_rows: in each second row one element dwarfs the others, by 20 to 20,000: these become
// small, subnormal or zero. zero_rows: each third row is zero, and all of it if there is but one.
// last_k: the last product of each sum outweighs all others.
int coppice_adjust(const coppice_problem* p, const char* case_name, std::uint64_t) {
  const std::int64_t rows = coppice_dim_of(p, "rows"), hidden = coppice_dim_of(p, "hidden");
  const coppice_tensor* x = coppice_tensor_of(p, "x");
  if (std::strcmp(case_name, "outlier_rows") == 0) {
    for (std::int64_t r = 0; r < rows; r += 2) {
      coppice_store(x, r * hidden + r * 37 % hidden, 20.0 * std::pow(10.0, r / 2 % 4));
    }
    return 0;
  }
  if (std::strcmp(case_name, "zero_rows") == 0) {
    const coppice_tensor* residual = coppice_tensor_of(p, "residual");
    for (std::int64_t at = 0; at < rows * hidden; ++at) {
      if (at / hidden % 3 == 0) {
        coppice_store(x, at, 0.0);
        coppice_store(residual, at, 0.0);
      }
    }
    return 0;
  }
  if (std::strcmp(case_name, "last_k") == 0) {
    for (std::int64_t r = 0; r < rows; ++r) {
      coppice_store(x, r * hidden + hidden - 1, 50.0 + static_cast<double>(r % 5));
    }
    return 0;
  }
  std::snprintf(p->message, p->message_size, "unknown case '%s'", case_name);
  return 1;
}
