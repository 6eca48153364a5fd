// Trusted host code of gqa_paged_decode: page tables, the fp64 reference, and adjusted inputs.
#include "coppice_op.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace {

using Ints = std::int32_t*;

struct Shape {
  std::int64_t batch, heads, kv_heads, head_dim, page_size, pages, page_refs, total_kv;
  explicit Shape(const coppice_problem* p)
      : batch(coppice_dim_of(p, "batch")),
        heads(coppice_dim_of(p, "heads")),
        kv_heads(coppice_dim_of(p, "kv_heads")),
        head_dim(coppice_dim_of(p, "head_dim")),
        page_size(coppice_dim_of(p, "page_size")),
        pages(coppice_dim_of(p, "pages")),
        page_refs(coppice_dim_of(p, "page_refs")),
        total_kv(coppice_dim_of(p, "total_kv")) {}
};

// The page table of a problem, read only.
struct Table {
  const std::int32_t* indptr;
  const std::int32_t* indices;
  const std::int32_t* last;
  explicit Table(const coppice_problem* p)
      : indptr(static_cast<Ints>(coppice_tensor_of(p, "kv_indptr")->data)),
        indices(static_cast<Ints>(coppice_tensor_of(p, "kv_indices")->data)),
        last(static_cast<Ints>(coppice_tensor_of(p, "kv_last_page_len")->data)) {}
  std::int64_t length(std::int64_t b, std::int64_t page_size) const {
    const std::int64_t used = indptr[b + 1] - indptr[b];
    return used == 0 ? 0 : (used - 1) * page_size + last[b];
  }
  // Token slot in the cache: page * page_size + position in the page.
  std::int64_t slot(std::int64_t b, std::int64_t token, std::int64_t page_size) const {
    return indices[indptr[b] + token / page_size] * page_size + token % page_size;
  }
};

int fail(const coppice_problem* p, const char* text) {
  std::snprintf(p->message, p->message_size, "%s", text);
  return 1;
}

std::vector<std::int64_t> shuffled(std::int64_t n, std::uint64_t* state) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    order[static_cast<std::size_t>(i)] = i;
  }
  for (std::int64_t i = n - 1; i > 0; --i) {
    const auto j =
        static_cast<std::int64_t>(coppice_next(state) % static_cast<std::uint64_t>(i + 1));
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]);
  }
  return order;
}

// Pages per sequence: `empty` sequences get none, the rest share page_refs by weights
// 1 + skew * 3u^2. Only + - * / on doubles, so that every machine draws the same lengths.
std::vector<std::int64_t> draw_page_counts(const coppice_problem* p,
                                           const Shape& s,
                                           std::uint64_t* state) {
  const auto empty = static_cast<std::int64_t>(coppice_parameter(p, "empty"));
  const double skew = coppice_parameter(p, "skew");
  std::vector<std::int64_t> counts(static_cast<std::size_t>(s.batch), 0);
  std::vector<double> weight(counts.size(), 0.0);
  const std::vector<std::int64_t> order = shuffled(s.batch, state);
  double total = 0.0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double u = static_cast<double>(coppice_next(state) >> 40) / 16777216.0;
    if (order[i] >= empty) {
      weight[i] = 1.0 + skew * 3.0 * u * u;
      total += weight[i];
    }
  }
  const std::int64_t spare = s.page_refs - (s.batch - empty);
  std::int64_t left = spare;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (weight[i] > 0.0) {
      const auto extra = static_cast<std::int64_t>(static_cast<double>(spare) * weight[i] / total);
      counts[i] = 1 + extra;
      left -= extra;
    }
  }
  for (std::size_t i = 0; left > 0; i = (i + 1) % counts.size()) {
    if (weight[i] > 0.0) {
      ++counts[i];
      --left;
    }
  }
  return counts;
}

std::int64_t count_unique(const Shape& s, const Table& table, std::vector<bool>* seen) {
  seen->assign(static_cast<std::size_t>(s.pages * s.page_size), false);
  std::int64_t unique = 0;
  for (std::int64_t b = 0; b < s.batch; ++b) {
    for (std::int64_t t = 0; t < table.length(b, s.page_size); ++t) {
      const auto at = static_cast<std::size_t>(table.slot(b, t, s.page_size));
      unique += (*seen)[at] ? 0 : 1;
      (*seen)[at] = true;
    }
  }
  return unique;
}

}  // namespace

// Parameters: skew (0: equal lengths), empty (sequences without tokens), shared (share of each
// sequence's pages that repeat the first non-empty sequence's pages, as with a common prefix).
int coppice_structure(const coppice_problem* p, std::uint64_t seed) {
  const Shape s(p);
  std::uint64_t state = seed;
  const auto empty = static_cast<std::int64_t>(coppice_parameter(p, "empty"));
  const std::int64_t filled = s.batch - empty;
  const std::int64_t slack = s.page_refs * s.page_size - s.total_kv;
  if (empty < 0 || filled < 0 || s.page_refs < filled || (filled == 0 && s.page_refs > 0)) {
    return fail(p, "page_refs: expected at least one page for each sequence that is not empty");
  }
  if (slack < 0 || slack > filled * (s.page_size - 1)) {
    return fail(p, "total_kv: expected between 1 and page_size tokens in each last page");
  }
  const auto indptr = static_cast<Ints>(coppice_tensor_of(p, "kv_indptr")->data);
  const auto indices = static_cast<Ints>(coppice_tensor_of(p, "kv_indices")->data);
  const auto last = static_cast<Ints>(coppice_tensor_of(p, "kv_last_page_len")->data);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(s.batch), 0);
  if (filled > 0) {
    counts = draw_page_counts(p, s, &state);
  }
  const double shared = coppice_parameter(p, "shared");
  const std::vector<std::int64_t> pool = shuffled(s.pages, &state);
  std::int64_t next_page = 0, first = -1, max_len = 0, nth = 0;
  indptr[0] = 0;
  for (std::int64_t b = 0; b < s.batch; ++b) {
    const std::int64_t n = counts[static_cast<std::size_t>(b)];
    const std::int64_t begin = indptr[b];
    indptr[b + 1] = static_cast<std::int32_t>(begin + n);
    last[b] = 0;
    if (n == 0) {
      continue;
    }
    const std::int64_t unused = slack / filled + (nth++ < slack % filled ? 1 : 0);
    last[b] = static_cast<std::int32_t>(s.page_size - unused);
    const std::int64_t common =
        first < 0 ? 0
                  : std::min(static_cast<std::int64_t>(shared * static_cast<double>(n)),
                             counts[static_cast<std::size_t>(first)]);
    for (std::int64_t i = 0; i < n; ++i) {
      if (i < common) {
        indices[begin + i] = indices[indptr[first] + i];
      } else if (next_page < s.pages) {
        indices[begin + i] = static_cast<std::int32_t>(pool[static_cast<std::size_t>(next_page++)]);
      } else {
        return fail(p, "pages: expected enough pages for all references that are not shared");
      }
    }
    first = first < 0 ? b : first;
    max_len = std::max(max_len, (n - 1) * s.page_size + last[b]);
  }
  std::vector<bool> seen;
  coppice_set_scalar(p, "max_len", static_cast<double>(max_len));
  coppice_set_scalar(p, "unique_kv", static_cast<double>(count_unique(s, Table(p), &seen)));
  return 0;
}

int coppice_reference(const coppice_problem* p, double* const* outputs, int part, int parts) {
  const Shape s(p);
  const Table table(p);
  const coppice_tensor* q = coppice_tensor_of(p, "q");
  const coppice_tensor* k = coppice_tensor_of(p, "k_cache");
  const coppice_tensor* v = coppice_tensor_of(p, "v_cache");
  const double scale = coppice_constant(p, "sm_scale");
  const std::int64_t group = s.heads / s.kv_heads;
  for (std::int64_t b = part; b < s.batch; b += parts) {
    const std::int64_t length = table.length(b, s.page_size);
    std::vector<double> logit(static_cast<std::size_t>(length));
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const std::int64_t row = b * s.heads + h;
      double* out = outputs[0] + row * s.head_dim;
      std::fill(out, out + s.head_dim, 0.0);
      double largest = -std::numeric_limits<double>::infinity();
      for (std::int64_t t = 0; t < length; ++t) {
        const std::int64_t at =
            (table.slot(b, t, s.page_size) * s.kv_heads + h / group) * s.head_dim;
        double dot = 0.0;
        for (std::int64_t d = 0; d < s.head_dim; ++d) {
          dot += coppice_real(q, row * s.head_dim + d) * coppice_real(k, at + d);
        }
        logit[static_cast<std::size_t>(t)] = dot * scale;
        largest = std::max(largest, dot * scale);
      }
      double sum = 0.0;
      for (std::int64_t t = 0; t < length; ++t) {
        const std::int64_t at =
            (table.slot(b, t, s.page_size) * s.kv_heads + h / group) * s.head_dim;
        const double weight = std::exp(logit[static_cast<std::size_t>(t)] - largest);
        sum += weight;
        for (std::int64_t d = 0; d < s.head_dim; ++d) {
          out[d] += weight * coppice_real(v, at + d);
        }
      }
      for (std::int64_t d = 0; d < s.head_dim && length > 0; ++d) {
        out[d] /= sum;
      }
      outputs[1][row] = length == 0 ? largest : (largest + std::log(sum)) / std::log(2.0);
    }
  }
  return 0;
}

// needle_last, needle_first: that key gets a logit of 12 with the first query head of its group.
// poisoned: every cache slot that no sequence refers to holds NaN.
int coppice_adjust(const coppice_problem* p, const char* case_name, std::uint64_t) {
  const Shape s(p);
  const Table table(p);
  const coppice_tensor* q = coppice_tensor_of(p, "q");
  const coppice_tensor* k = coppice_tensor_of(p, "k_cache");
  const coppice_tensor* v = coppice_tensor_of(p, "v_cache");
  if (std::strcmp(case_name, "poisoned") == 0) {
    std::vector<bool> seen;
    count_unique(s, table, &seen);
    const std::int64_t width = s.kv_heads * s.head_dim;
    for (std::int64_t i = 0; i < s.pages * s.page_size * width; ++i) {
      if (!seen[static_cast<std::size_t>(i / width)]) {
        coppice_store(k, i, std::numeric_limits<double>::quiet_NaN());
        coppice_store(v, i, std::numeric_limits<double>::quiet_NaN());
      }
    }
    return 0;
  }
  const bool at_end = std::strcmp(case_name, "needle_last") == 0;
  if (!at_end && std::strcmp(case_name, "needle_first") != 0) {
    return fail(p, "unknown case");
  }
  const std::int64_t group = s.heads / s.kv_heads;
  for (std::int64_t b = 0; b < s.batch; ++b) {
    const std::int64_t length = table.length(b, s.page_size);
    for (std::int64_t h = 0; h < s.kv_heads && length > 0; ++h) {
      const std::int64_t slot = table.slot(b, at_end ? length - 1 : 0, s.page_size);
      const std::int64_t from = (b * s.heads + h * group) * s.head_dim;
      double norm = 0.0;
      for (std::int64_t d = 0; d < s.head_dim; ++d) {
        norm += coppice_real(q, from + d) * coppice_real(q, from + d);
      }
      const double gain = norm > 0.0 ? 12.0 / (coppice_constant(p, "sm_scale") * norm) : 0.0;
      for (std::int64_t d = 0; d < s.head_dim; ++d) {
        coppice_store(
            k, (slot * s.kv_heads + h) * s.head_dim + d, gain * coppice_real(q, from + d));
      }
    }
  }
  return 0;
}
