// Trusted host code of gqa_prefill: lengths and page tables, the fp64 reference, adjusted inputs.
#include "coppice_op.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace {

struct Shape {
  std::int64_t batch, total_q, heads, kv_heads, dim, page_size, pages, page_refs, total_kv;
  explicit Shape(const coppice_problem* p)
      : batch(coppice_dim_of(p, "batch")),
        total_q(coppice_dim_of(p, "total_q")),
        heads(coppice_dim_of(p, "heads")),
        kv_heads(coppice_dim_of(p, "kv_heads")),
        dim(coppice_dim_of(p, "head_dim")),
        page_size(coppice_dim_of(p, "page_size")),
        pages(coppice_dim_of(p, "pages")),
        page_refs(coppice_dim_of(p, "page_refs")),
        total_kv(coppice_dim_of(p, "total_kv")) {}
};

struct Table {
  std::int32_t *q, *indptr, *indices, *last;
  explicit Table(const coppice_problem* p)
      : q(ints(p, "qo_indptr")),
        indptr(ints(p, "kv_indptr")),
        indices(ints(p, "kv_indices")),
        last(ints(p, "kv_last_page_len")) {}
  static std::int32_t* ints(const coppice_problem* p, const char* name) {
    return static_cast<std::int32_t*>(coppice_tensor_of(p, name)->data);
  }
  std::int64_t length(std::int64_t b, std::int64_t page_size) const {
    return (indptr[b + 1] - indptr[b] - 1) * page_size + last[b];
  }
  std::int64_t slot(std::int64_t b, std::int64_t token, std::int64_t page_size) const {
    return indices[indptr[b] + token / page_size] * page_size + token % page_size;
  }
};

int fail(const coppice_problem* p, const char* text) {
  std::snprintf(p->message, p->message_size, "%s", text);
  return 1;
}

// Splits `total` over the sequences, at least one each, by weights 1 + skew * 3u^2.
std::vector<std::int64_t> shares(std::int64_t total,
                                 std::int64_t count,
                                 double skew,
                                 std::uint64_t* state) {
  std::vector<double> weight(static_cast<std::size_t>(count));
  double sum = 0.0;
  for (double& w : weight) {
    const double u = static_cast<double>(coppice_next(state) >> 40) / 16777216.0;
    w = 1.0 + skew * 3.0 * u * u;
    sum += w;
  }
  std::vector<std::int64_t> out;
  std::int64_t left = total - count;
  for (const double w : weight) {
    const auto extra = static_cast<std::int64_t>(static_cast<double>(total - count) * w / sum);
    out.push_back(1 + extra);
    left -= extra;
  }
  for (std::size_t i = 0; left > 0; i = (i + 1) % out.size(), --left) {
    ++out[i];
  }
  return out;
}

}  // namespace

// Parameters: skew (of the key lengths), whole (1: no prefix, each sequence's queries are its keys;
// else queries are split evenly).
int coppice_structure(const coppice_problem* p, std::uint64_t seed) {
  const Shape s(p);
  const Table t(p);
  std::uint64_t state = seed;
  const std::int64_t slack = s.page_refs * s.page_size - s.total_kv;
  if (slack < 0 || slack > s.batch * (s.page_size - 1) || s.page_refs > s.pages) {
    return fail(
        p, "total_kv: expected between 1 and page_size tokens in each last page, and enough pages");
  }
  const bool whole = coppice_parameter(p, "whole") != 0.0;
  if (whole && s.total_q != s.total_kv) {
    return fail(p, "total_q: expected total_kv where every query is its own key");
  }
  const auto pages = shares(s.page_refs, s.batch, coppice_parameter(p, "skew"), &state);
  const auto queries = shares(s.total_q, s.batch, 0.0, &state);
  std::vector<std::int32_t> pool(static_cast<std::size_t>(s.pages));
  for (std::size_t i = 0; i < pool.size(); ++i) {
    pool[i] = static_cast<std::int32_t>(i);
    std::swap(pool[i], pool[coppice_next(&state) % (i + 1)]);
  }
  std::copy(pool.begin(), pool.begin() + s.page_refs, t.indices);
  std::int64_t longest = 0, seen = 0;
  t.indptr[0] = t.q[0] = 0;
  for (std::int64_t b = 0; b < s.batch; ++b) {
    const auto at = static_cast<std::size_t>(b);
    t.indptr[b + 1] = static_cast<std::int32_t>(t.indptr[b] + pages[at]);
    t.last[b] =
        static_cast<std::int32_t>(s.page_size - slack / s.batch - (b < slack % s.batch ? 1 : 0));
    const std::int64_t length = t.length(b, s.page_size);
    const std::int64_t n = whole ? length : queries[at];
    t.q[b + 1] = static_cast<std::int32_t>(t.q[b] + n);
    longest = std::max(longest, length);
    for (std::int64_t i = 0; i < n; ++i) {
      seen += std::max<std::int64_t>(0, i + 1 + length - n);
    }
  }
  coppice_set_scalar(p, "max_len", static_cast<double>(longest));
  coppice_set_scalar(p, "seen_pairs", static_cast<double>(seen));
  return 0;
}

int coppice_reference(const coppice_problem* p, double* const* outputs, int part, int parts) {
  const Shape s(p);
  const Table table(p);
  const coppice_tensor* q = coppice_tensor_of(p, "q");
  const double scale = coppice_constant(p, "sm_scale");
  const auto dim = static_cast<std::size_t>(s.dim);
  for (std::int64_t b = 0; b < s.batch; ++b) {
    const std::int64_t length = table.length(b, s.page_size), n = table.q[b + 1] - table.q[b];
    std::vector<double> k(static_cast<std::size_t>(length) * dim), v = k, row(dim);
    std::vector<double> logit(static_cast<std::size_t>(length));
    for (std::int64_t h = 0; h < s.kv_heads; ++h) {
      for (std::int64_t t = 0; t < length; ++t) {
        const std::int64_t from = (table.slot(b, t, s.page_size) * s.kv_heads + h) * s.dim;
        for (std::size_t d = 0; d < dim; ++d) {
          const auto at = from + static_cast<std::int64_t>(d);
          k[static_cast<std::size_t>(t) * dim + d] =
              coppice_real(coppice_tensor_of(p, "k_cache"), at);
          v[static_cast<std::size_t>(t) * dim + d] =
              coppice_real(coppice_tensor_of(p, "v_cache"), at);
        }
      }
      const std::int64_t group = s.heads / s.kv_heads;
      for (std::int64_t i = 0; i < n * group; ++i) {
        const std::int64_t token = table.q[b] + i / group;
        if (token % parts != part) {
          continue;
        }
        const std::int64_t at = token * s.heads + h * group + i % group;
        const std::int64_t seen = std::max<std::int64_t>(0, i / group + 1 + length - n);
        double* out = outputs[0] + at * s.dim;
        std::fill(out, out + s.dim, 0.0);
        double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
        for (std::size_t d = 0; d < dim; ++d) {
          row[d] = coppice_real(q, at * s.dim + static_cast<std::int64_t>(d));
        }
        for (std::size_t t = 0; t < static_cast<std::size_t>(seen); ++t) {
          double dot[4] = {};
          for (std::size_t d = 0; d < dim; ++d) {
            dot[d % 4] += row[d] * k[t * dim + d];
          }
          logit[t] = (dot[0] + dot[1] + dot[2] + dot[3]) * scale;
          largest = std::max(largest, logit[t]);
        }
        for (std::size_t t = 0; t < static_cast<std::size_t>(seen); ++t) {
          const double weight = std::exp(logit[t] - largest);
          sum += weight;
          for (std::size_t d = 0; d < dim; ++d) {
            out[d] += weight * v[t * dim + d];
          }
        }
        for (std::size_t d = 0; d < dim && seen > 0; ++d) {
          out[d] /= sum;
        }
        outputs[1][at] = seen > 0 ? (largest + std::log(sum)) / std::log(2.0) : largest;
      }
    }
  }
  return 0;
}

// needle_last: the last query of each sequence gives the last key a logit of 12 with the first head
// of each group, and so do all other queries that resemble it. poisoned: slots that no sequence
// refers to hold NaN.
int coppice_adjust(const coppice_problem* p, const char* case_name, std::uint64_t) {
  const Shape s(p);
  const Table table(p);
  const coppice_tensor* q = coppice_tensor_of(p, "q");
  const coppice_tensor* k = coppice_tensor_of(p, "k_cache");
  const coppice_tensor* v = coppice_tensor_of(p, "v_cache");
  const std::int64_t width = s.kv_heads * s.dim, group = s.heads / s.kv_heads;
  if (std::strcmp(case_name, "poisoned") == 0) {
    std::vector<bool> used(static_cast<std::size_t>(s.pages * s.page_size));
    for (std::int64_t b = 0; b < s.batch; ++b) {
      for (std::int64_t t = 0; t < table.length(b, s.page_size); ++t) {
        used[static_cast<std::size_t>(table.slot(b, t, s.page_size))] = true;
      }
    }
    for (std::int64_t i = 0; i < s.pages * s.page_size * width; ++i) {
      if (!used[static_cast<std::size_t>(i / width)]) {
        coppice_store(k, i, std::numeric_limits<double>::quiet_NaN());
        coppice_store(v, i, std::numeric_limits<double>::quiet_NaN());
      }
    }
    return 0;
  }
  if (std::strcmp(case_name, "needle_last") != 0) {
    return fail(p, "unknown case");
  }
  for (std::int64_t b = 0; b < s.batch; ++b) {
    const std::int64_t slot = table.slot(b, table.length(b, s.page_size) - 1, s.page_size);
    for (std::int64_t h = 0; h < s.kv_heads; ++h) {
      const std::int64_t from = ((table.q[b + 1] - 1) * s.heads + h * group) * s.dim;
      double norm = 0.0;
      for (std::int64_t d = 0; d < s.dim; ++d) {
        norm += coppice_real(q, from + d) * coppice_real(q, from + d);
      }
      const double gain = norm > 0.0 ? 12.0 / (coppice_constant(p, "sm_scale") * norm) : 0.0;
      for (std::int64_t d = 0; d < s.dim; ++d) {
        coppice_store(k, (slot * s.kv_heads + h) * s.dim + d, gain * coppice_real(q, from + d));
      }
    }
  }
  return 0;
}
