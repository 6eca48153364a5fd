// Trusted host code of moe_ffn: routing, the fp64 reference, and adjusted inputs.
#include "coppice_op.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

struct Shape {
  std::int64_t tokens, hidden, inter, experts, top_k;
  explicit Shape(const coppice_problem* p)
      : tokens(coppice_dim_of(p, "tokens")),
        hidden(coppice_dim_of(p, "hidden")),
        inter(coppice_dim_of(p, "inter")),
        experts(coppice_dim_of(p, "experts")),
        top_k(coppice_dim_of(p, "top_k")) {}
};

double dot(const coppice_tensor* w, std::int64_t from, const std::vector<double>& x) {
  double sums[4] = {};
  std::size_t i = 0;
  for (; i + 4 <= x.size(); i += 4) {
    for (std::size_t u = 0; u < 4; ++u) {
      sums[u] += coppice_real(w, from + static_cast<std::int64_t>(i + u)) * x[i + u];
    }
  }
  for (; i < x.size(); ++i) {
    sums[0] += coppice_real(w, from + static_cast<std::int64_t>(i)) * x[i];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

// Parameters: skew (0: all experts equally likely, else the popular ones up to 1 + 3 * skew times
// as likely), same (1: every token takes the first top_k experts).
int coppice_structure(const coppice_problem* p, std::uint64_t seed) {
  const Shape s(p);
  std::uint64_t state = seed;
  const double skew = coppice_parameter(p, "skew");
  const bool same = coppice_parameter(p, "same") != 0.0;
  auto* ids = static_cast<std::int32_t*>(coppice_tensor_of(p, "expert_ids")->data);
  const auto uniform = [&] {
    return static_cast<double>(coppice_next(&state) >> 40) / 16777216.0;
  };
  std::vector<double> popularity(static_cast<std::size_t>(s.experts));
  for (double& x : popularity) {
    const double u = uniform();
    x = 1.0 + skew * 3.0 * u * u * u;
  }
  std::vector<bool> active(popularity.size(), false);
  for (std::int64_t t = 0; t < s.tokens; ++t) {
    std::vector<double> left = popularity;
    for (std::int64_t j = 0; j < s.top_k; ++j) {
      double total = 0.0;
      for (const double x : left) {
        total += x;
      }
      double at = uniform() * total;
      std::size_t expert = same ? static_cast<std::size_t>(j) : 0;
      while (!same && expert + 1 < left.size() && (left[expert] == 0.0 || at >= left[expert])) {
        at -= left[expert++];
      }
      while (!same && left[expert] == 0.0) {
        --expert;  // rounding carried us past the last one that is left
      }
      left[expert] = 0.0;
      active[expert] = true;
      ids[t * s.top_k + j] = static_cast<std::int32_t>(expert);
    }
  }
  coppice_set_scalar(
      p, "active_experts", static_cast<double>(std::count(active.begin(), active.end(), true)));
  return 0;
}

int coppice_reference(const coppice_problem* p, double* const* outputs, int part, int parts) {
  const Shape s(p);
  const coppice_tensor* x = coppice_tensor_of(p, "x");
  const coppice_tensor* w_gate_up = coppice_tensor_of(p, "w_gate_up");
  const coppice_tensor* w_down = coppice_tensor_of(p, "w_down");
  const auto* ids = static_cast<const std::int32_t*>(coppice_tensor_of(p, "expert_ids")->data);
  const coppice_tensor* weights = coppice_tensor_of(p, "expert_weights");
  std::vector<double> row(static_cast<std::size_t>(s.hidden));
  std::vector<double> inner(static_cast<std::size_t>(s.inter));
  for (std::int64_t t = part; t < s.tokens; t += parts) {
    double* out = outputs[0] + t * s.hidden;
    std::fill(out, out + s.hidden, 0.0);
    for (std::int64_t d = 0; d < s.hidden; ++d) {
      row[static_cast<std::size_t>(d)] = coppice_real(x, t * s.hidden + d);
    }
    for (std::int64_t j = 0; j < s.top_k; ++j) {
      const std::int64_t e = ids[t * s.top_k + j];
      const std::int64_t gate = e * 2 * s.inter, up = gate + s.inter;
      for (std::int64_t i = 0; i < s.inter; ++i) {
        const double g = dot(w_gate_up, (gate + i) * s.hidden, row);
        const double u = dot(w_gate_up, (up + i) * s.hidden, row);
        inner[static_cast<std::size_t>(i)] = g / (1.0 + std::exp(-g)) * u;
      }
      for (std::int64_t d = 0; d < s.hidden; ++d) {
        out[d] += coppice_real(weights, t * s.top_k + j) *
                  dot(w_down, (e * s.hidden + d) * s.inter, inner);
      }
    }
  }
  return 0;
}

// outlier_last: the last feature of each token is large, so that losing it shows.
int coppice_adjust(const coppice_problem* p, const char* case_name, std::uint64_t) {
  if (std::strcmp(case_name, "outlier_last") != 0) {
    std::snprintf(p->message, p->message_size, "unknown case '%s'", case_name);
    return 1;
  }
  const Shape s(p);
  const coppice_tensor* x = coppice_tensor_of(p, "x");
  for (std::int64_t t = 0; t < s.tokens; ++t) {
    coppice_store(x, t * s.hidden + s.hidden - 1, 30.0);
  }
  return 0;
}
